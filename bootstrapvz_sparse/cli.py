"""The command ``bvz-sparse``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import __version__
from .commands import build, check, clean, inspect, sparsify, tarball
from .commands.completion import SHELLS, PrintCompletion


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 0 done, 1 refused or failed, 2 bad usage."""
    try:
        options = parser().parse_args(arguments)
        status: int = options.run(options)
    except KeyboardInterrupt:
        print("bvz-sparse: error: interrupted", file=sys.stderr)
        return 1
    return status


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
    for command in (build, clean, sparsify, inspect, tarball, check):
        command.add(commands)
    return made


if __name__ == "__main__":
    sys.exit(main())
