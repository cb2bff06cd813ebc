"""The ledger: its chart, and its JSON."""

from __future__ import annotations

import json
import re

import pytest

from bootstrapvz_sparse.ledger.ledger import Entry, Ledger, load
from bootstrapvz_sparse.render.drawing import WIDTH
from bootstrapvz_sparse.render.json import ledger_json
from bootstrapvz_sparse.render.ledger_svg import chart
from bootstrapvz_sparse.render.text import ledger_text
from bootstrapvz_sparse.util.errors import InvalidReport
from tests.support.pictures import EVIL, SVG, ledger_of_a_build, parsed, texts


def test_chart() -> None:
    drawing = parsed(chart(ledger_of_a_build(), EVIL))
    said = texts(drawing)
    for text in ("created", "built", "sparsified (punch)", "packed", "754.0 MiB", "106.3 s"):
        assert text in said
    assert "peak during the build: 785.0 MiB" in said
    assert "limit for the image, on disk: 900.0 MiB" in said
    assert "above the limit; the build failed" in said  # the tarball is
    assert drawing.get("role") == "img"
    for path in drawing.iter(f"{SVG}path"):
        for x in re.findall(r"[MH]([\d.]+)", path.get("d", "")):
            assert 0 <= float(x) <= WIDTH


def test_charts_of_little() -> None:
    empty = Ledger()
    assert "0 B" in texts(parsed(chart(empty, "x")))
    empty.entries.append(Entry("created", 0, 0, 0.0))
    empty.limits["allocated"] = 1 << 50
    assert "limit for the image, on disk: 1024.0 TiB" in texts(parsed(chart(empty, "x")))


def test_load_reads_ledger_json() -> None:
    written = json.dumps(ledger_json(ledger_of_a_build(), image="/images/disk.raw")).encode()
    ledger, name = load(written)
    assert name == "disk.raw" and ledger_text(ledger) == ledger_text(ledger_of_a_build())
    assert (
        load(json.dumps(ledger_json(Ledger(), image=None)).encode())[1]
        == "an image that was not kept"
    )


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"{}",
        b'{"version": 1}',
        b'{"version": 1, "stages": [1]}',
        b"[" * 100000,
    ],
)
def test_load_rejects_other_documents(text: bytes) -> None:
    with pytest.raises(InvalidReport, match="^not the report of a build$"):
        load(text)


def test_load_rejects_other_versions() -> None:
    document = {**ledger_json(ledger_of_a_build(), image="x"), "version": 2}
    with pytest.raises(InvalidReport, match="version 2"):
        load(json.dumps(document).encode())
    document = ledger_json(ledger_of_a_build(), image="x")
    document["stages"][0]["allocated"] = -1
    with pytest.raises(InvalidReport):
        load(json.dumps(document).encode())
