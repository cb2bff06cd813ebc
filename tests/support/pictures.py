"""Pictures as their tests read them."""

from __future__ import annotations

from xml.etree import ElementTree

from bootstrapvz_sparse.ledger.ledger import Entry, Ledger
from bootstrapvz_sparse.render.markup import svg_text

MIB, GIB = 1 << 20, 1 << 30
SVG = "{http://www.w3.org/2000/svg}"
EVIL = "<script>alert('&\"')</script>]]>\x1b[31m\n\udcff\x00"


def texts(drawing: ElementTree.Element) -> list[str]:
    """Return the texts of a drawing."""
    return [node.text or "" for node in drawing.iter(f"{SVG}text")]


def parsed(drawing: ElementTree.Element) -> ElementTree.Element:
    """Return the drawing as a parser of its file sees it."""
    return ElementTree.fromstring(svg_text(drawing).encode())


def ledger_of_a_build() -> Ledger:
    """Return a ledger with all stages, limits and a note that is markup."""
    ledger = Ledger()
    ledger.entries += [
        Entry("created", 2 * GIB, 0, 0.01),
        Entry("built", 2 * GIB, 754 * MIB, 106.3),
        Entry("sparsified", 2 * GIB, 682 * MIB, 1.4, "punch"),
        Entry("packed", 250 * MIB, 251 * MIB, 12.0),
    ]
    ledger.peak = 785 * MIB
    ledger.limits.update(allocated=900 * MIB, tarball=200 * MIB)
    ledger.verified.append("no byte in use has changed")
    ledger.notes.append(EVIL)
    return ledger
