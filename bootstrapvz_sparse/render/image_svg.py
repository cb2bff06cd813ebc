"""An inspection as a picture: the contents of an image before and after sparsifying.

The picture shows cells instead of blocks, and neighbouring cells of one kind as one shape, so it
stays below 100 KiB for an image of any size.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple
from xml.etree.ElementTree import Element

from ..image.plans import Plan, Share
from ..util.text import human, printable
from .cells import cell_size, cells
from .drawing import (
    FAINT,
    MARGIN,
    RULE,
    TILE,
    WIDTH,
    Drawing,
    shortened,
)
from .kinds import KINDS

COLUMNS = 36  # cells in a row
CELLS = 30 * COLUMNS  # for the whole image, at most; the last row of a part may be incomplete
LEFT, RIGHT = MARGIN, WIDTH - MARGIN - COLUMNS * TILE  # x positions of before and after
EDGE = WIDTH - MARGIN


class Part(NamedTuple):
    """A part of the image, with its bytes by kind ``before`` and ``after`` sparsifying.

    ``label`` is its name in the partition table; ``shares`` holds the ranges before and after.
    """

    name: str
    label: str
    filesystem: str
    shares: tuple[Share, Share]
    before: dict[str, int]
    after: dict[str, int]

    @property
    def size(self) -> int:
        """The size in bytes."""
        return sum(self.before[kind] for kind in KINDS)


def parts(plan: Plan) -> list[Part]:
    """Return the partitions of the image, followed by the bytes outside all partitions."""
    image_parts = []
    for share, left in zip(plan.shares(), plan.shares(after=True)):
        partition = share.region.partition if share.region else None
        name = f"partition {partition.number}" if partition and partition.number else "whole image"
        if share.region is None and plan.survey.regions:
            name = "outside"
        filesystem = (partition and partition.filesystem) or ""
        label = partition.name if partition else ""
        image_parts.append(
            Part(name, label, filesystem, (share, left), share.amounts(), left.amounts())
        )
    return image_parts


def on_disk(amounts: dict[str, int]) -> int:
    """Return the total of all kinds that occupy disk space, in bytes."""
    return sum(amounts[kind] for kind in KINDS if kind != "hole")


def totals(image_parts: list[Part]) -> tuple[dict[str, int], dict[str, int]]:
    """Return the bytes of the whole image by kind, before and after."""
    return (
        {kind: sum(part.before[kind] for part in image_parts) for kind in KINDS},
        {kind: sum(part.after[kind] for part in image_parts) for kind in KINDS},
    )


def picture(plan: Plan, prefix: str = "") -> Element:
    """Return the SVG of an image; ``prefix`` begins its ids."""
    image_parts, survey = parts(plan), plan.survey
    before, after = totals(image_parts)
    used = [kind for kind in KINDS if before[kind] or after[kind]]
    name = plan.path.name
    sizes = "; ".join(f"{k}: {human(before[k])} before, {human(after[k])} after" for k in used)
    drawing = Drawing(
        f"Where the bytes of {name} are",
        f"{human(survey.size)}, {human(on_disk(before))} of it on disk; "
        f"after bvz-sparse sparsify {human(on_disk(after))}. {sizes}.",
        prefix,
    )
    drawing.text(MARGIN, 40, shortened(printable(name), 60), size=20, bold=True)
    cell = cell_size(survey.size, survey.block, CELLS)
    table = {"none": "no partition table", "unknown": "unknown contents"}
    label = table.get(survey.table.label, f"partition table {survey.table.label}")
    drawing.text(MARGIN, 62, f"{human(survey.size)}, {label}", fill=FAINT)
    y = _bars(drawing, 78, survey.size, before, after)
    y = _legend(drawing, y + 34, used, before, after)
    drawing.rule(y + 14)
    rule = f"Each cell is {human(cell)}, drawn as the kind that most of it is."
    drawing.text(MARGIN, y + 36, rule, fill=FAINT, size=12)
    y += 42
    drawn = [part for part in image_parts if part.shares[0].region] or image_parts
    for part in drawn:
        y = _maps(drawing, y + 26, part, cell)
    if len(image_parts) > 1:
        drawing.rule(y + 18)
        y = _table(drawing, y + 44, image_parts, used)
    lines = [line for note in plan.notes for line in textwrap.wrap(printable(note), 110)]
    for line in lines:
        y += 18
        drawing.text(MARGIN, y, line, size=12)
    return drawing.end(y + MARGIN)


def _bars(
    drawing: Drawing, y: float, size: int, before: dict[str, int], after: dict[str, int]
) -> float:
    """Draw both totals to the scale of the image; return the y below them."""
    left, right, height = MARGIN + 56, EDGE - 148, 24
    for title, amounts in (("before", before), ("after", after)):
        drawing.text(MARGIN, y + 17, title, bold=True)
        x = float(left)
        for kind in KINDS:
            width = (right - left) * amounts[kind] / max(size, 1)
            if width:
                drawing.rect(x, y, width, height, fill=drawing.fill(kind))
            x += width
        drawing.rect(left, y, right - left, height, fill="none", stroke=FAINT)
        drawing.text(EDGE, y + 17, f"{human(on_disk(amounts))} on disk", bold=True, anchor="end")
        y += height + 8
    return y


def _legend(
    drawing: Drawing, y: float, used: list[str], before: dict[str, int], after: dict[str, int]
) -> float:
    """Draw the meaning and the amount of each fill; return the base line of the last row."""
    columns = (EDGE - 120, EDGE)
    for x, title in zip(columns, ("before", "after")):
        drawing.text(x, y, title, anchor="end", fill=FAINT, size=12)
    for kind in used:
        y += 22
        drawing.swatch(MARGIN, y, kind)
        drawing.text(MARGIN + 26, y, kind, bold=True)
        drawing.text(MARGIN + 110, y, KINDS[kind].meaning)
        for x, amounts in zip(columns, (before, after)):
            drawing.text(x, y, human(amounts[kind]), anchor="end")
    return y


def _maps(drawing: Drawing, y: float, part: Part, cell: int) -> float:
    """Draw the cells of a part, before beside after; return the y below them."""
    label = f"“{shortened(printable(part.label), 40)}”" if part.label else ""
    title = ", ".join(filter(None, (part.name, label, part.filesystem, human(part.size))))
    drawing.text(MARGIN, y, title, size=14, bold=True)
    y += 20
    region = part.shares[0].region
    start, end = (region.partition.start, region.partition.end) if region else (0, part.size)
    rows = 0
    for x, when, share, amounts in zip(
        (LEFT, RIGHT), ("before", "after"), part.shares, (part.before, part.after)
    ):
        drawing.text(x, y, f"{when}: {human(on_disk(amounts))} on disk", size=12)
        kinds = cells(share.kinds, start, end, cell)
        rows = -(-len(kinds) // COLUMNS)
        place = f"translate({x:g} {y + 8:g})"  # patterns begin where the cells do
        for kind in KINDS:
            if kind in kinds:
                drawing.path(
                    _shapes(kinds, kind),
                    transform=place,
                    fill=drawing.fill(kind),
                    tip=f"{part.name}, {when}: {human(amounts[kind])} {kind}",
                )
        drawing.path(_grid(len(kinds)), transform=place, stroke="#ffffff", fill="none")
    return y + 8 + rows * TILE


def _shapes(kinds: list[str], kind: str) -> Iterator[str]:
    """Yield the steps of a path: a rectangle for each run of ``kind`` in a row."""
    for row in range(0, len(kinds), COLUMNS):
        column = 0
        for kind_of_run, run in groupby(kinds[row : row + COLUMNS]):
            length = len(list(run))
            if kind_of_run == kind:
                top, width = row // COLUMNS * TILE, length * TILE
                yield f"M{column * TILE} {top}h{width}v{TILE}h-{width}z"
            column += length


def _grid(count: int) -> Iterator[str]:
    """Yield the steps of a path between ``count`` cells."""
    rows, width = -(-count // COLUMNS), min(count, COLUMNS) * TILE
    for row in range(rows + 1):
        yield f"M0 {row * TILE}h{width}"
    for column in range(width // TILE + 1):
        yield f"M{column * TILE} 0v{rows * TILE}"


def _table(drawing: Drawing, y: float, image_parts: list[Part], used: list[str]) -> float:
    """Draw the sizes by partition and kind; return the base line of the last row."""
    heads = [*used, "after"]
    first, step = MARGIN + 136, (WIDTH - 2 * MARGIN - 136) / len(heads)
    drawing.text(MARGIN, y, "before, by kind", size=12, fill=FAINT)
    for index, head in enumerate(heads):
        x = first + (index + 1) * step
        drawing.text(x, y, head, size=12, bold=True, anchor="end")
    for part in image_parts:
        y += 20
        drawing.path([f"M{MARGIN} {y - 14.5}H{EDGE}"], stroke=RULE, stroke_width=0.5, fill="none")
        drawing.text(MARGIN, y, part.name, size=11.5)
        drawing.text(MARGIN + 80, y, shortened(printable(part.filesystem), 12), size=11.5)
        amounts = [*(part.before[kind] for kind in used), on_disk(part.after)]
        for index, amount in enumerate(amounts):
            x = first + (index + 1) * step
            drawing.text(x, y, human(amount) if amount else "–", size=11.5, anchor="end")
    return y
