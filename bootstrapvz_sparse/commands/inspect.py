"""``bvz-sparse inspect``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..image.api import inspect
from ..image.plans import Plan
from ..render.json import inspection_json
from ..render.text import inspection_text
from .debug import add_debug
from .output import each, progress
from .pictures import STANDARD_OUTPUT, add_pictures, conflict, write
from .streams import (
    DEFAULT_COLUMNS,
    about,
    can_print,
    coloured,
    columns,
    on_terminal,
    print_error,
)


class Options(NamedTuple):
    """The arguments of the command."""

    images: Sequence[Path]
    json: bool
    svg: Path | None
    html: Path | None
    debug: bool

    @property
    def picture_on_stdout(self) -> bool:
        """Return True if a picture is printed instead of the text."""
        return STANDARD_OUTPUT in (self.svg, self.html)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="raw image")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    add_pictures(parser, svg="the image", html="all images")
    add_debug(parser)


def run(arguments: argparse.Namespace) -> int:
    """Inspect each image, print the results, and draw them; return the exit code."""
    options = Options(**vars(arguments))
    if reason := _misuse(options):
        print_error(reason)
        return 2
    drawn: list[Plan] = []

    def work(path: Path) -> Plan:
        with progress(path) as show:
            inspection = inspect(path, progress=show)
        if options.svg or options.html:
            drawn.append(inspection)
        return inspection

    def as_text(inspection: Plan) -> str:
        return inspection_text(
            inspection,
            width=columns() if on_terminal(sys.stdout) else DEFAULT_COLUMNS,
            colour=coloured(sys.stdout),
            ascii_only=not can_print("█░·"),
        )

    status = each(
        options.images,
        work,
        as_json=inspection_json if options.json else None,
        as_text=None if options.picture_on_stdout else as_text,
        debug=options.debug,
    )
    if drawn:
        _draw(options, drawn)
    return status


def _misuse(options: Options) -> str:
    """Return the reason why the arguments contradict each other, or ""."""
    if options.svg and len(options.images) > 1:
        return "--svg draws one image (use --html for several)"
    if options.json and options.picture_on_stdout:
        return "--json and a picture cannot both go to standard output (name a file for one)"
    return conflict(options.svg, options.html, options.images, "image")


def _draw(options: Options, inspections: Sequence[Plan]) -> None:
    """Write the pictures."""
    # load ElementTree, which text and JSON do not need
    from ..render.html import inspections_page
    from ..render.image_svg import picture
    from ..render.markup import html_text, svg_text

    if options.svg:
        with about(options.svg):
            write(options.svg, svg_text(picture(inspections[0])))
    if options.html:
        with about(options.html):
            write(options.html, html_text(inspections_page(inspections)))
