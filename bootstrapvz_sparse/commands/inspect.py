"""``bvz-sparse inspect``."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from .output import can_print, each, progress


def add(commands: Any) -> None:
    inspect = commands.add_parser("inspect", help="show where the bytes of a raw image are")
    inspect.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    inspect.add_argument("--json", action="store_true", help="print it as JSON")
    inspect.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from ..image.inspect import inspect
    from ..image.show import inspection_json, inspection_text

    def one(path: Path) -> Any:
        with progress(path) as show:
            return inspect(path, progress=show)

    terminal = sys.stdout.isatty()
    columns = shutil.get_terminal_size().columns if terminal else 0

    def as_text(inspection: Any) -> str:
        return inspection_text(
            inspection,
            width=columns or 80,  # a terminal that was given no size says 0
            colour=terminal and not os.environ.get("NO_COLOR"),
            ascii_only=not can_print("█░·"),
        )

    return each(options, one, as_json=inspection_json, as_text=as_text)
