"""``bvz-sparse clean``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from ..util.text import printable
from .output import add_debug, complain
from .streams import OutputFailed, fail, say


def add(commands: Any) -> None:
    clean = commands.add_parser(
        "clean", help="undo what builds that were killed have left in a workspace"
    )
    clean.add_argument("workspace", type=Path, metavar="WORKSPACE", help="the folder of the images")
    clean.add_argument("--dry-run", action="store_true", help="undo nothing, show it")
    add_debug(clean)
    clean.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        fail("cleaning a workspace needs root")
        return 1
    from ..builder.clean import clean

    status, found, lost = 0, False, None
    try:
        for said in clean(options.workspace, dry_run=options.dry_run):
            if said.wrong:
                fail(printable(said.text))
                status = 1
            elif not lost:
                try:
                    say(printable(said.text))
                except OutputFailed as error:  # what it tells of is done nevertheless
                    lost = error
            found = found or said.done or said.wrong
    except OSError as error:
        complain(options.workspace, error, debug=options.debug)
        return 1
    if lost:
        raise lost
    if not found:
        say("nothing to clean")
    return status
