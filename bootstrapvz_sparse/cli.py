"""The command ``bvz-sparse``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import __version__
from .commands import (
    build,
    check,
    clean,
    inspect,
    report,
    sparsify,
    streams,
    tarball,
)
from .commands.completion import SHELLS, PrintCompletion


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 0 done, 1 refused or failed, 2 bad usage."""
    streams.guard()
    try:
        options = parser().parse_args(arguments)
    except SystemExit as stop:  # after --help, --version, and what is wrong with the arguments
        raise SystemExit(streams.finish(int(stop.code or 0))) from None
    except OSError:  # that could not be printed
        return streams.finish(1)
    if options.debug:
        streams.log_programs()
    try:
        status: int = options.run(options)
    except streams.OutputFailed as error:
        streams.fail(str(error))
        status = 1
    except KeyboardInterrupt:
        streams.fail("interrupted")
        status = 1
    return streams.finish(status)


def parser() -> argparse.ArgumentParser:
    """The parser, which the completion and the manual pages are made of, too."""
    made = argparse.ArgumentParser(prog="bvz-sparse", description="Sparse Debian images.")
    made.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    made.add_argument(
        "--print-completion",
        action=PrintCompletion,
        choices=SHELLS,
        help="print what completes this command in that shell",
    )
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    for command in (build, clean, sparsify, inspect, tarball, check, report):
        command.add(commands)
    return made


if __name__ == "__main__":
    sys.exit(main())
