"""``bvz-sparse build``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from .streams import coloured, fail, on_terminal


def add(commands: Any) -> None:
    from ..upstream.loop_partitions import MAPPERS

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
    build.add_argument(
        "--color",
        choices=["auto", "always", "never"],
        default="auto",
        help="colour warnings and errors (default: %(default)s: on a terminal)",
    )
    build.add_argument(
        "--partition-mapper",
        choices=MAPPERS,
        default="auto",
        help="what maps the partitions of the volume: kpartx, which needs device-mapper, or a "
        "loop device each (default: %(default)s: kpartx where that works)",
    )
    build.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from ..builder import BuildError, Options, build

    try:
        build(
            Options(
                manifest=options.manifest,
                log=None if options.log == "-" else Path(options.log),
                debug=options.debug,
                dry_run=options.dry_run,
                pause_on_error=options.pause_on_error,
                colour=options.color == "always"
                or (options.color == "auto" and coloured(sys.stderr)),
                live=on_terminal(sys.stderr) and not options.debug,
                partition_mapper=options.partition_mapper,
            )
        )
    except BuildError as error:
        fail(str(error))
        return 1
    return 0
