"""``bvz-sparse clean``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from ..image.report import printable
from .output import complain, say


def add(commands: Any) -> None:
    clean = commands.add_parser(
        "clean", help="undo what builds that were killed have left in a workspace"
    )
    clean.add_argument("workspace", type=Path, metavar="WORKSPACE", help="the folder of the images")
    clean.add_argument("--dry-run", action="store_true", help="undo nothing, show it")
    clean.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if os.geteuid() != 0:
        print("bvz-sparse: error: cleaning a workspace needs root", file=sys.stderr)
        return 1
    from ..builder.clean import clean

    status, found = 0, False
    try:
        for said in clean(options.workspace, dry_run=options.dry_run):
            if said.wrong:
                print(f"bvz-sparse: error: {printable(said.text)}", file=sys.stderr)
                status = 1
            else:
                say(printable(said.text))
            found = found or said.done or said.wrong
    except OSError as error:
        complain(options.workspace, error)
        return 1
    if not found:
        say("nothing to clean")
    return status
