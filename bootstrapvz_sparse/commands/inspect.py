"""``bvz-sparse inspect``."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from .output import add_debug, each, progress
from .streams import can_print, coloured, on_terminal


def add(commands: Any) -> None:
    inspect = commands.add_parser("inspect", help="show where the bytes of a raw image are")
    inspect.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    inspect.add_argument("--json", action="store_true", help="print it as JSON")
    add_debug(inspect)
    inspect.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from ..image.inspect import inspect
    from ..image.show import inspection_json, inspection_text

    def one(path: Path) -> Any:
        with progress(path) as show:
            return inspect(path, progress=show)

    columns = shutil.get_terminal_size().columns if on_terminal(sys.stdout) else 0

    def as_text(inspection: Any) -> str:
        return inspection_text(
            inspection,
            width=columns or 80,  # a terminal that was given no size says 0
            colour=coloured(sys.stdout),
            ascii_only=not can_print("█░·"),
        )

    return each(options, one, as_json=inspection_json, as_text=as_text)
