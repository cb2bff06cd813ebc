"""``bvz-sparse inspect``."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from .output import (
    add_debug,
    complain,
    each,
    progress,
)
from .pictures import (
    add_pictures,
    clash,
    to_standard_output,
    write,
)
from .streams import (
    can_print,
    coloured,
    fail,
    on_terminal,
)


def add(commands: Any) -> None:
    inspect = commands.add_parser("inspect", help="show where the bytes of a raw image are")
    inspect.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    inspect.add_argument("--json", action="store_true", help="print it as JSON")
    add_pictures(inspect, "them")
    add_debug(inspect)
    inspect.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from ..image.inspect import inspect
    from ..render.text import inspection_json, inspection_text

    if reason := _misused(options):
        fail(reason)
        return 2
    drawn: list[Any] = []

    def one(path: Path) -> Any:
        with progress(path) as show:
            inspection = inspect(path, progress=show)
        if options.svg or options.html:
            drawn.append(inspection)
        return inspection

    columns = shutil.get_terminal_size().columns if on_terminal(sys.stdout) else 0

    def as_text(inspection: Any) -> str:
        return inspection_text(
            inspection,
            width=columns or 80,  # a terminal that was given no size says 0
            colour=coloured(sys.stdout),
            ascii_only=not can_print("█░·"),
        )

    text = None if to_standard_output(options) else as_text
    status = each(options, one, as_json=inspection_json, as_text=text)
    return _draw(options, drawn) or status


def _misused(options: argparse.Namespace) -> str:
    """Why the arguments do not go together; "" where they do."""
    if options.svg and len(options.images) > 1:
        return "--svg draws one image; --html draws several"
    if options.json and to_standard_output(options):
        return "--json and a picture cannot both go to standard output"
    return clash(options, options.images)


def _draw(options: argparse.Namespace, drawn: list[Any]) -> int:
    """Write the pictures of the images that could be inspected; the exit code."""
    if not drawn:
        return 0
    from ..render.html import inspections_page
    from ..render.image_svg import picture
    from ..render.markup import html_text, svg_text

    try:
        if path := options.svg:
            write(path, svg_text(picture(drawn[0])))
        if path := options.html:
            write(path, html_text(inspections_page(drawn)))
    except OSError as error:
        complain(path, error, debug=options.debug)
        return 1
    return 0
