"""``bvz-sparse clean``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import NamedTuple

from ..builder.clean import clean
from ..util.errors import OutputFailed
from ..util.text import printable
from .debug import add_debug
from .streams import about, print_error, print_output


class Options(NamedTuple):
    """The arguments of the command."""

    workspace: Path
    dry_run: bool
    debug: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument(
        "workspace",
        type=Path,
        metavar="WORKSPACE",
        help="folder where images are built (bootstrapper.workspace in the manifest)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be removed; remove nothing"
    )
    add_debug(parser)


def run(arguments: argparse.Namespace) -> int:
    """Remove the leftovers of killed builds and print a line for each; return the exit code."""
    options = Options(**vars(arguments))
    if os.geteuid() != 0:
        print_error(f"{printable(str(options.workspace))}: cleaning needs root")
        return 1
    status, anything, output_failed = 0, False, None
    with about(options.workspace):
        for message in clean(options.workspace, dry_run=options.dry_run):
            if message.wrong:
                print_error(printable(message.text))
                status = 1
            elif not output_failed:
                try:
                    print_output(printable(message.text))
                except OutputFailed as error:  # the cleaning goes on
                    output_failed = error
            anything = anything or message.done or message.wrong
    if output_failed:
        raise output_failed
    if not anything:
        print_output("nothing to clean")
    return status
