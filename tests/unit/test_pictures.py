"""Pictures: their sums are right, nothing of the image becomes markup, and they stay small."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bootstrapvz_sparse.image.extents import Ranges, total
from bootstrapvz_sparse.image.filesystems import FreeSpace
from bootstrapvz_sparse.image.partitions import Partition, Table
from bootstrapvz_sparse.image.plans import KINDS, Plan
from bootstrapvz_sparse.image.survey import Allocation, Region, Survey
from bootstrapvz_sparse.render.cells import cell_size, cells
from bootstrapvz_sparse.render.drawing import FILLS, shortened
from bootstrapvz_sparse.render.html import inspections_page, ledger_page
from bootstrapvz_sparse.render.image_svg import (
    CELLS,
    COLUMNS,
    TILE,
    on_disk,
    parts,
    picture,
    totals,
)
from bootstrapvz_sparse.render.kinds import KINDS as LOOKS
from bootstrapvz_sparse.render.ledger_svg import chart
from bootstrapvz_sparse.render.markup import html_text, svg_text
from bootstrapvz_sparse.util.text import human
from tests.support.pictures import EVIL, GIB, MIB, SVG, ledger_of_a_build, parsed, texts


def plan_of(size: int, regions: list[Region], data: Ranges, **more: Ranges) -> Plan:
    """Return the plan for an image that does not exist."""
    unwritten = more.get("unwritten", [])
    survey = Survey(
        size=size,
        block=4096,
        table=Table("gpt" if regions else "unknown", tuple(r.partition for r in regions)),
        regions=tuple(regions),
        allocation=Allocation(total(data) + total(unwritten), data, unwritten, shared=[]),
    )
    path, notes = Path(f"/images/disk {EVIL}.raw"), (f"a remark {EVIL} " * 9,)
    return Plan(survey, more.get("zero", []), path=path, notes=notes)


def everything() -> Plan:
    """Return all kinds, three partitions, bytes outside of them, and names that are markup."""
    root = FreeSpace(free=[(40 * MIB, 60 * MIB)], journal=[(60 * MIB, 62 * MIB)], swap=[])
    swap = FreeSpace(free=[], journal=[], swap=[(20 * MIB + 4096, 30 * MIB)])
    return plan_of(
        100 * MIB,
        [
            Region(Partition(1, MIB, 20 * MIB, name=EVIL, filesystem="xfs")),
            Region(Partition(2, 20 * MIB, 30 * MIB, filesystem="swap"), swap),
            Region(Partition(3, 30 * MIB, 100 * MIB, filesystem=EVIL), root, EVIL),
        ],
        data=[(0, 5 * MIB), (20 * MIB, 70 * MIB)],
        unwritten=[(80 * MIB, 83 * MIB)],
        zero=[(35 * MIB, 36 * MIB)],
    )


def test_before_and_after_add_up() -> None:
    plan = everything()
    found = parts(plan)
    before, after = totals(found)
    assert [part.name for part in found] == ["partition 1", "partition 2", "partition 3", "outside"]
    assert sum(before.values()) == sum(after.values()) == 100 * MIB
    assert on_disk(before) == plan.survey.allocated
    assert on_disk(before) - on_disk(after) == plan.gain
    assert after["in use"] == before["in use"]
    assert {kind for kind in KINDS if after[kind]} == {"in use", "hole"}
    for part in found:
        for share in part.shares:
            assert sum(map(total, share.kinds.values())) == part.size


def test_partial_blocks_stay() -> None:
    free = FreeSpace(free=[(1000, 9000)], journal=[], swap=[])
    region = Region(Partition(0, 0, 12288, filesystem="ext4"), free)
    _, after = totals(parts(plan_of(12288, [region], data=[(0, 12288)])))
    assert (after["free"], after["hole"]) == (8000 - 4096, 4096)


def test_well_formed_with_each_kind_in_the_legend() -> None:
    drawing = parsed(picture(everything()))
    said = texts(drawing)
    for kind in KINDS:
        assert kind in said
    assert drawing.get("role") == "img"
    title, desc = (drawing.find(f"{SVG}{tag}") for tag in ("title", "desc"))
    assert title is not None and desc is not None
    assert drawing.get("aria-labelledby") == f"{title.get('id')} {desc.get('id')}"
    assert human(100 * MIB) in (desc.text or "") and "swap" in (desc.text or "")


def test_legend_has_only_kinds_in_use() -> None:
    plain = texts(parsed(picture(plan_of(MIB, [Region(Partition(0, 0, MIB))], [(0, MIB)]))))
    assert "in use" in plain and not {"free", "swap", "hole"} & set(plain)


def test_escapes_names_of_the_image() -> None:
    text = svg_text(picture(everything()))
    page = html_text(inspections_page([everything()]))
    for written in (text, page):
        assert "<script" not in written and "\x1b" not in written and "\x00" not in written
        assert "&lt;script&gt;" in written
    assert any("<script>" in said for said in texts(ElementTree.fromstring(text)))


def test_self_contained() -> None:
    two = html_text(inspections_page([everything(), everything()]))
    ledger = ledger_of_a_build()
    for text in (two, html_text(ledger_page(ledger, "x")), svg_text(chart(ledger, "x"))):
        for reference in re.findall(r"(?:href|src|url\()=?[\"']?([^\"')]*)", text):
            assert reference.startswith("#")
        assert not re.search(r"@import|<link|<script|https?://(?!www\.w3\.org/2000/svg)", text)
    ids = re.findall(r' id="([^"]*)"', two)
    assert len(ids) == len(set(ids)) > 4
    assert set(re.findall(r"url\(#([^)]*)\)", two)) <= set(ids)


def squares(path: str) -> Iterator[tuple[int, int]]:
    """Yield the columns and rows of the cells that a path covers."""
    for x, y, width in re.findall(r"M(\d+) (\d+)h(\d+)v\d+h-\d+z", path):
        for column in range(int(x) // TILE, (int(x) + int(width)) // TILE):
            yield column, int(y) // TILE


def test_each_cell_is_drawn_once() -> None:
    drawing = parsed(picture(everything()))
    drawn: dict[str, list[tuple[int, int]]] = {}
    for path in drawing.iter(f"{SVG}path"):
        if path.get("transform") and path.get("fill") != "none":
            drawn.setdefault(path.get("transform", ""), []).extend(squares(path.get("d", "")))
    cell = cell_size(100 * MIB, 4096, CELLS)
    counts = [-(-size * MIB // cell) for size in (19, 10, 70) for _ in "ab"]
    assert [len(cells) for cells in drawn.values()] == counts
    for covered, count in zip(drawn.values(), counts):
        assert sorted(covered, key=lambda c: (c[1], c[0])) == [
            (index % COLUMNS, index // COLUMNS) for index in range(count)
        ]


def test_cells() -> None:
    kinds: dict[str, Ranges] = {kind: [] for kind in KINDS}
    kinds["in use"], kinds["free"] = [(0, 7)], [(7, 25)]
    assert cells(kinds, 0, 45, 10) == ["in use", "free", "free", "hole", "hole"]
    kinds["in use"], kinds["free"] = [(20, 21)], [(21, 24)]
    assert cells(kinds, 20, 31, 10) == ["free", "hole"]
    assert cell_size(GIB, 4096, 1024) == MIB and cell_size(100, 4096, 1024) == 4096
    assert cell_size(GIB, 4096, 0) == 4096


@pytest.mark.parametrize("size", [10 * GIB, 200 * GIB, 1 << 44])
def test_big_images_make_small_files(size: int) -> None:
    numbers = random.Random(1)
    edges = sorted(numbers.sample(range(0, size, 4096), 20000))
    data = list(zip(edges[::2], edges[1::2]))
    free = [(start, (start + end) // 8192 * 4096) for start, end in data[::2]]
    region = Region(Partition(0, 0, size, filesystem="ext4"), FreeSpace(sorted(free), [], []))
    assert len(svg_text(picture(plan_of(size, [region], data)))) < 100_000
    cell = cell_size(size, 4096, CELLS)
    regular = [(start, start + cell) for start in range(0, size, 2 * cell)]  # each cell differs
    assert len(svg_text(picture(plan_of(size, [Region(Partition(0, 0, size))], regular)))) < 100_000


def test_many_partitions() -> None:
    regions = [Region(Partition(n, n * MIB, (n + 1) * MIB)) for n in range(1, 129)]
    text = svg_text(picture(plan_of(130 * MIB, regions, [(0, 130 * MIB)])))
    assert len(text) < 300_000
    root = ElementTree.fromstring(text)
    lowest = max(float(node.get("y", 0)) for node in root.iter(f"{SVG}text"))
    assert lowest < float(root.get("height", 0))


def test_unknown_contents() -> None:
    said = texts(parsed(picture(plan_of(MIB, [], [(0, MIB)]))))
    assert "1.0 MiB, unknown contents" in said and "whole image, 1.0 MiB" in said


def luminance(colour: str) -> float:
    """Return the relative luminance, as WCAG 2 defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear))


def test_fills_differ_without_colour() -> None:
    patterns = [fill.path for fill in FILLS.values()]
    assert len(set(patterns)) == len(FILLS)
    for name, fill in FILLS.items():
        if fill.path and name != "hole":  # holes stay in the background
            light, dark = sorted((luminance(fill.ground), luminance(fill.line)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 3


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def terminal_palette() -> dict[int, tuple[int, ...]]:
    """Return the colours 16 to 255 of xterm: a cube and a grey ramp."""
    cube = itertools.product((0, 95, 135, 175, 215, 255), repeat=3)
    grey = ((8 + 10 * n,) * 3 for n in range(24))
    return dict(enumerate(itertools.chain(cube, grey), 16))


def test_kinds_are_those_of_the_engine() -> None:
    assert tuple(LOOKS) == KINDS
    columns = zip(
        *((kind.sign, kind.ascii_sign, kind.sgr, kind.meaning) for kind in LOOKS.values())
    )
    assert all(len(set(column)) == len(KINDS) for column in columns)
    assert all(kind.ascii_sign.isascii() for kind in LOOKS.values())


@pytest.mark.parametrize("name", KINDS)
def test_terminal_has_the_colours_of_the_pictures(name: str) -> None:
    kind = LOOKS[name]
    ground, line = rgb(kind.fill.ground), kind.fill.line and rgb(kind.fill.line)
    colour = line if line and min(ground) > 0xF0 else ground  # on white paper the pattern's
    palette = terminal_palette()
    nearest = min(palette, key=lambda n: sum((a - b) ** 2 for a, b in zip(palette[n], colour)))
    assert kind.sgr == f"38;5;{nearest}"


def test_shortened() -> None:
    assert shortened("abc", 3) == "abc"
    assert shortened("abcdefgh", 5) == "ab…gh" and len(shortened("x" * 99, 60)) == 60
