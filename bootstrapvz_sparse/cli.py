"""The command ``bvz-sparse``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 0 done, 1 refused or failed, 2 bad usage."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except KeyboardInterrupt:
        print("bvz-sparse: error: interrupted", file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bvz-sparse", description="Sparse Debian images.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    build = commands.add_parser("build", help="build the image that a manifest describes")
    build.add_argument("manifest", type=Path, metavar="MANIFEST")
    build.add_argument(
        "--log",
        default="/var/log/bootstrap-vz",
        metavar="FOLDER",
        help="log into this folder (default: %(default)s), `-' for no log file",
    )
    build.add_argument("--debug", action="store_true", help="show all that is logged")
    build.add_argument("--dry-run", action="store_true", help="do not run the tasks, show them")
    build.add_argument(
        "--pause-on-error", action="store_true", help="wait for Enter before the rollback"
    )
    build.add_argument("--color", choices=["auto", "always", "never"], default="auto")
    build.set_defaults(run=_build)
    return parser


def _build(options: argparse.Namespace) -> int:
    from .builder import BuildError, Options, build

    try:
        build(
            Options(
                manifest=options.manifest,
                log=None if options.log == "-" else Path(options.log),
                debug=options.debug,
                dry_run=options.dry_run,
                pause_on_error=options.pause_on_error,
                colour=options.color == "always"
                or (options.color == "auto" and sys.stderr.isatty()),
            )
        )
    except BuildError as error:
        print(f"bvz-sparse: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
