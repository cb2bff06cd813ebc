"""The ledger of a build as a chart: a bar for each stage, the peak and the limits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from ..ledger.ledger import Entry, Ledger
from ..util.text import human, printable
from .drawing import (
    FAINT,
    INK,
    MARGIN,
    RULE,
    WIDTH,
    Drawing,
    shortened,
)
from .text import LIMITS

LEFT, RIGHT = 176, 596  # of the bars
ON_DISK, TIME = 690, WIDTH - MARGIN  # right ends of the columns of figures
ROW, BAR = 34, 22  # pixels from bar to bar, and of a bar
DASHES = {"allocated": "6 4", "tarball": "2 3"}  # of the line of each limit
PACKED = "packed"  # the stage with the sizes of the tarball


def chart(ledger: Ledger, name: str, prefix: str = "") -> Element:
    """Return the SVG of the ledger of the image ``name``; ``prefix`` begins its ids."""
    stages = "; ".join(f"{e.stage} {human(_size(e))}, {e.seconds:.1f} s" for e in ledger.entries)
    extras = [f"peak {human(ledger.peak)}"] if ledger.peak is not None else []
    extras += [f"limit {human(n)} {LIMITS[k]}" for k, n in ledger.limits.items() if n is not None]
    title = "Space on disk after each stage of the build"
    drawing = Drawing(title, f"{name}: {'; '.join([stages, *extras])}.", prefix)
    drawing.text(MARGIN, 40, title, size=20, bold=True)
    sizes = [e.apparent for e in ledger.entries if e.stage != PACKED]
    subtitle = f"{shortened(printable(name), 60)}, {human(max(sizes, default=0))}"
    drawing.text(MARGIN, 62, subtitle, fill=FAINT)
    known = [ledger.peak, *ledger.limits.values(), *map(_size, ledger.entries)]
    step = _step(max((n for n in known if n), default=1))
    scale = max(step, math.ceil(max((n for n in known if n), default=1) / step) * step)

    def across(size: float) -> float:
        return LEFT + (RIGHT - LEFT) * size / scale

    top = 104
    bottom = top + ROW * len(ledger.entries)
    drawing.text(ON_DISK, top - 10, "on disk", size=12, anchor="end", fill=FAINT)
    drawing.text(TIME, top - 10, "time", size=12, anchor="end", fill=FAINT)
    for tick in range(0, scale + 1, step):
        drawing.path([f"M{across(tick):.1f} {top}V{bottom}"], stroke=RULE, fill="none")
        label = human(tick).replace(".0 ", " ")
        drawing.text(across(tick), bottom + 18, label, size=12, anchor="middle", fill=FAINT)
    y = float(top)
    for entry in ledger.entries:
        _row(drawing, y, entry, ledger, across(_size(entry)))
        if ledger.peak is not None and _below_peak(entry, ledger):
            left = across(entry.allocated)
            _bar(drawing, y, left, across(ledger.peak), "free", f"peak: {human(ledger.peak)}")
        y += ROW
    y = bottom + 48
    for fill, text in _legend(ledger):
        drawing.swatch(MARGIN, y, fill)
        drawing.text(MARGIN + 26, y, text)
        y += 22
    for kind, limit in ledger.limits.items():
        if limit is not None:
            x, rows = across(limit), [e.stage == PACKED for e in ledger.entries]
            first = rows.index(True) if kind == "tarball" and True in rows else 0
            last = len(rows) if kind == "tarball" else rows.count(False)
            _dashed(drawing, f"M{x:.1f} {top + first * ROW - 4}V{top + last * ROW + 4}", kind)
            _dashed(drawing, f"M{MARGIN} {y - 5}h17", kind)
            drawing.text(MARGIN + 26, y, f"limit {LIMITS[kind]}: {human(limit)}")
            y += 22
    return drawing.end(y - 22 + MARGIN)


def _size(entry: Entry) -> int:
    """Return the size shown in the chart; for a tarball, which has no holes, the file size."""
    return entry.apparent if entry.stage == PACKED else entry.allocated


def _above(entry: Entry, ledger: Ledger) -> bool:
    """Return True if the stage exceeded its limit, which ended the build."""
    if entry is not ledger.entries[-1]:  # a build ends with the stage above its limit
        return False
    limit = ledger.limits["tarball" if entry.stage == PACKED else "allocated"]
    return limit is not None and _size(entry) > limit


def _below_peak(entry: Entry, ledger: Ledger) -> bool:
    """Return True if the peak was above the size after this stage."""
    # the peak is measured until this stage
    return entry.stage == "built" and (ledger.peak or 0) > entry.allocated


def _row(drawing: Drawing, y: float, entry: Entry, ledger: Ledger, right: float) -> None:
    """Draw the bar and the figures of one stage; the bar ends at ``right``."""
    above = _above(entry, ledger)
    middle = y + ROW / 2 + 4.5
    method = f" ({entry.method})" if entry.method else ""
    drawing.text(MARGIN, middle, shortened(printable(f"{entry.stage}{method}"), 22))
    tip = f"{entry.stage}: {human(_size(entry))}"
    _bar(drawing, y, LEFT, right, "above" if above else "in use", tip)
    drawing.text(ON_DISK, middle, human(_size(entry)), bold=True, anchor="end")
    drawing.text(TIME, middle, f"{entry.seconds:.1f} s", anchor="end")


def _bar(drawing: Drawing, y: float, left: float, right: float, fill: str, tip: str) -> None:
    top = y + (ROW - BAR) / 2
    steps = f"M{left:.1f} {top:g}H{right:.1f}v{BAR}H{left:.1f}z"
    drawing.path([steps], tip=tip, fill=drawing.fill(fill))


def _dashed(drawing: Drawing, steps: str, kind: str) -> None:
    dashes = DASHES[kind]
    drawing.path([steps], stroke=INK, stroke_width=2, stroke_dasharray=dashes, fill="none")


def _legend(ledger: Ledger) -> Iterator[tuple[str, str]]:
    """Yield the fills in use with their meanings."""
    yield "in use", "on disk after the stage"
    if any(_above(entry, ledger) for entry in ledger.entries):
        yield "above", "above the limit; the build failed"
    if ledger.peak is not None and any(_below_peak(entry, ledger) for entry in ledger.entries):
        yield "free", f"peak during the build: {human(ledger.peak)}"


def _step(largest: int) -> int:
    """Return the bytes between two ticks, for at most 6 ticks: 1, 2, 5, 10, ... of a unit."""
    unit = 1 << 10 * min(int(math.log(max(largest, 1), 1024)), 4)
    for factor in (1, 2, 5, 10, 20, 50, 100, 200, 500):
        if largest <= 6 * factor * unit:
            return factor * unit
    return 1000 * unit
