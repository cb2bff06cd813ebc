"""``bvz-sparse report``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

from ..ledger.ledger import load
from ..render.html import ledger_page
from ..render.ledger_svg import chart
from ..render.markup import html_text, svg_text
from ..render.text import ledger_text
from .debug import add_debug
from .pictures import STANDARD_OUTPUT, add_pictures, conflict, write
from .streams import about, print_error, print_output


class Options(NamedTuple):
    """The arguments of the command."""

    report: Path
    svg: Path | None
    html: Path | None
    debug: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("report", type=Path, metavar="REPORT.json", help="report to show")
    add_pictures(parser, svg="the stages", html="the stages")
    add_debug(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the stages of a build, and draw them; return the exit code."""
    options = Options(**vars(arguments))
    if reason := conflict(options.svg, options.html, [options.report], "report"):
        print_error(reason)
        return 2
    with about(options.report):
        ledger, name = load(options.report.read_bytes())
    if options.svg:
        with about(options.svg):
            write(options.svg, svg_text(chart(ledger, name)))
    if options.html:
        with about(options.html):
            write(options.html, html_text(ledger_page(ledger, name)))
    if STANDARD_OUTPUT not in (options.svg, options.html):
        print_output(ledger_text(ledger))
    return 0
