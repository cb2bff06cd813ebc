"""Pictures and tables as one self-contained page of HTML."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from ..image.plans import Plan
from ..ledger.ledger import Ledger
from ..util.text import human
from .image_svg import on_disk, parts, picture
from .kinds import KINDS
from .ledger_svg import chart
from .markup import element

STYLE = """
:root { color-scheme: light dark; }
body { margin: 2rem auto; max-width: 800px; padding: 0 1rem; line-height: 1.4;
  font-family: system-ui, 'Segoe UI', 'DejaVu Sans', 'Liberation Sans', Arial, sans-serif; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; }
svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-size: .8rem; }
.wide { overflow-x: auto; }
th, td { padding: .2rem .4rem; text-align: right; border-bottom: 1px solid #999; }
th { text-align: left; white-space: nowrap; }
thead th { text-align: right; }
thead th:first-child { text-align: left; }
td { white-space: nowrap; font-variant-numeric: tabular-nums; }
@media print { body { margin: 0 auto; } svg { max-height: 85vh; } tr { break-inside: avoid; } }
"""


def inspections_page(plans: Sequence[Plan]) -> Element:
    """Return a page with the inspections of images."""
    page, body = _page("Where the bytes of images are")
    for number, plan in enumerate(plans):
        element(body, "h1", str(plan.path))
        body.append(picture(plan, prefix=f"image-{number}-"))
        image_parts = parts(plan)
        names = [f"{p.name} ({p.filesystem})" if p.filesystem else p.name for p in image_parts]
        for when, amounts in (
            ("Before", [part.before for part in image_parts]),
            ("After bvz-sparse sparsify", [part.after for part in image_parts]),
        ):
            used = [kind for kind in KINDS if any(amount[kind] for amount in amounts)]
            rows = [
                [name, human(on_disk(amount)), *(human(amount[kind]) for kind in used)]
                for name, amount in zip(names, amounts)
            ]
            _table(body, when, ["part", "on disk", *used], rows)
        for note in plan.notes:
            element(body, "p", note)
    return page


def ledger_page(ledger: Ledger, name: str) -> Element:
    """Return a page with the ledger of the image ``name``."""
    page, body = _page(f"The build of {name}")
    element(body, "h1", name)
    body.append(chart(ledger, name))
    rows = [
        [e.stage, human(e.apparent), human(e.allocated), f"{e.seconds:.1f} s", e.method]
        for e in ledger.entries
    ]
    _table(body, "Stages", ["stage", "file size", "on disk", "time", "method"], rows)
    for text in (*(f"verified: {proof}" for proof in ledger.verified), *ledger.notes):
        element(body, "p", text)
    return page


def _page(title: str) -> tuple[Element, Element]:
    """Return an empty page and its body."""
    page = element(None, "html", lang="en")
    head = element(page, "head")
    element(head, "meta", charset="utf-8")
    element(head, "meta", name="viewport", content="width=device-width")
    element(head, "title", title)
    element(head, "style").text = STYLE
    return page, element(page, "body")


def _table(
    body: Element, caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    element(body, "h2", caption)
    table = element(element(body, "div", class_="wide"), "table")
    line = element(element(table, "thead"), "tr")
    for head in heads:
        element(line, "th", head, scope="col")
    inner = element(table, "tbody")
    for first, *others in rows:
        line = element(inner, "tr")
        element(line, "th", first, scope="row")
        for cell in others:
            element(line, "td", cell)
