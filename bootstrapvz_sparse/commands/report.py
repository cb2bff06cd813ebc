"""``bvz-sparse report``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .output import add_debug, complain
from .pictures import (
    add_pictures,
    clash,
    to_standard_output,
    write,
)
from .streams import fail, say


def add(commands: Any) -> None:
    report = commands.add_parser(
        "report", help="show the report of a build, the file that plugins.sparse.report names"
    )
    report.add_argument("report", type=Path, metavar="REPORT.json")
    add_pictures(report, "the stages")
    add_debug(report)
    report.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from ..ledger.ledger import load
    from ..util.errors import InvalidReport

    if reason := clash(options, [options.report]):
        fail(reason)
        return 2
    path = options.report
    try:
        ledger, name = load(path.read_bytes())
        if options.svg or options.html:
            from ..render.html import ledger_page
            from ..render.ledger_svg import chart
            from ..render.markup import html_text, svg_text

            if path := options.svg:
                write(path, svg_text(chart(ledger, name)))
            if path := options.html:
                write(path, html_text(ledger_page(ledger, name)))
    except (InvalidReport, OSError) as error:
        complain(path, error, debug=options.debug)
        return 1
    if not to_standard_output(options):
        say(ledger.table())
    return 0
