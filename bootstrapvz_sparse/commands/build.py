"""``bvz-sparse build``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

from .. import builder
from .streams import coloured, on_terminal


class Options(NamedTuple):
    """The arguments of the command."""

    manifest: Path
    log: str
    debug: bool
    dry_run: bool
    pause_on_error: bool
    color: str
    partition_mapper: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("manifest", type=Path, metavar="MANIFEST", help="manifest of the image")
    parser.add_argument(
        "--log",
        default="/var/log/bootstrap-vz",
        metavar="FOLDER",
        help="write a log file into FOLDER, or none with - (default: %(default)s)",
    )
    parser.add_argument("--debug", action="store_true", help="print all log messages")
    parser.add_argument(
        "--dry-run", action="store_true", help="list the tasks without running them"
    )
    parser.add_argument(
        "--pause-on-error",
        action="store_true",
        help="wait for Enter before a failed build is rolled back",
    )
    parser.add_argument(
        "--color",
        choices=["auto", "always", "never"],
        default="auto",
        help="when to colour warnings and errors (default: %(default)s: on a terminal)",
    )
    parser.add_argument(
        "--partition-mapper",
        choices=builder.MAPPERS,
        default="auto",
        help="how to map the partitions of the volume: with kpartx, which needs device-mapper, or "
        "with one loop device each (default: %(default)s: kpartx if it works)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Build the image; return the exit code."""
    options = Options(**vars(arguments))
    colour = options.color == "always" or (options.color == "auto" and coloured(sys.stderr))
    builder.build(
        builder.Options(
            manifest=options.manifest,
            log=None if options.log == "-" else Path(options.log),
            debug=options.debug,
            dry_run=options.dry_run,
            pause_on_error=options.pause_on_error,
            colour=colour,
            live=on_terminal(sys.stderr) and not options.debug,
            partition_mapper=options.partition_mapper,
        )
    )
    return 0
