"""Plans, reports and inspections as text for people, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..image.survey import (
    KINDS,
    Plan,
    Share,
    Survey,
)
from ..util.text import as_utf8, human, printable
from .cells import cell_size, cells

if TYPE_CHECKING:
    from ..image.inspect import Inspection
    from ..image.sparsify import Report

JSON_VERSION = 1

# For each of KINDS: its sign, where only ASCII can be printed, and its colour (ECMA-48, SGR).
SIGNS = {
    "in use": ("█", "#", "32"),
    "zero": ("0", "0", "33"),
    "free": ("░", "-", "31"),
    "journal": ("j", "j", "35"),
    "swap": ("s", "s", "36"),
    "unwritten": ("u", "u", "34"),
    "hole": ("·", ".", "90"),
}
ROWS = 16  # that the map of a whole image takes at most, more or less


def name(share: Share) -> str:
    """What people call a part of an image."""
    if share.region is None:
        return "outside"
    return str(share.region.partition.number or "whole")


def table(shares: list[Share]) -> str:
    """What the image consists of, a line for each of its parts."""
    amounts = [share.amounts() for share in shares]
    # columns of nothing but zeros say nothing, apart from those that everybody looks for
    wanted = ["in use", "zero", "free"]
    columns = [k for k in (*KINDS, "lost") if k in wanted or any(a[k] for a in amounts)]
    rows = [["partition", "filesystem", "size", *columns]]
    for share, amount in zip(shares, amounts):
        kind = share.region.partition.filesystem if share.region else ""
        size = human(sum(amount[kind] for kind in KINDS))
        rows.append([name(share), kind or "-", size, *(human(amount[k]) for k in columns)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths))
        )
        for row in rows
    ]
    return "\n".join(lines)


def block_map(
    survey: Survey,
    shares: list[Share],
    *,
    width: int,
    colour: bool = False,
    ascii_only: bool = False,
) -> str:
    """The blocks of the image, drawn: each sign stands for what most of its bytes are."""
    width = max(width, 1)
    cell = cell_size(survey.size, survey.block, width * ROWS)
    lines, used = [], set()
    for share in shares:
        if share.region is None:
            continue
        partition = share.region.partition
        lines.append(f"{partition}, {partition.filesystem or 'unknown'}:")
        kinds = cells(share.kinds, partition.start, partition.end, cell)
        used.update(kinds)
        for first in range(0, len(kinds), width):
            lines.append(_paint(kinds[first : first + width], colour, ascii_only))
    legend = [f"{_paint([k], colour, ascii_only)} {k}" for k in KINDS if k in used]
    lines.append(f"{'  '.join(legend)}   (a sign: {human(cell)})")
    return "\n".join(lines)


def _paint(kinds: list[str], colour: bool, ascii_only: bool) -> str:
    text, last = "", ""
    for kind in kinds:
        sign, plain, number = SIGNS[kind]
        if colour and number != last:
            text, last = f"{text}\033[{number}m", number
        text += plain if ascii_only else sign
    return f"{text}\033[0m" if colour and kinds else text


def report_text(report: Report) -> str:
    """What was done to an image, in a line; below it what was proved, and the remarks."""
    size = human(report.apparent)
    was, now = human(report.before), human(report.after)
    if report.method:
        line = f"{was} -> {now} of {size} ({report.method}, {report.seconds:.1f} s)"
    else:
        line = f"{was} -> {now} of {size} would be left"
    lines = [f"{printable(str(report.path))}: {line}"]
    if not report.method:
        lines.append(table(report.plan.shares()))
    lines += [f"verified: {text}" for text in report.verified]
    lines += [f"note: {printable(text)}" for text in report.notes]
    return "\n".join(lines)


def inspection_text(inspection: Inspection, *, width: int, colour: bool, ascii_only: bool) -> str:
    """Where the bytes of an image are: a table, a picture, and what can be gained."""
    plan, survey, shares = inspection.plan, inspection.plan.survey, inspection.plan.shares()
    sizes = f"{human(survey.allocated)} allocated of {human(survey.size)}"
    lines = [
        f"{printable(str(inspection.path))}: {sizes}",
        table(shares),
        block_map(survey, shares, width=width, colour=colour, ascii_only=ascii_only),
        f"{human(plan.gain)} can be freed by bvz-sparse sparsify",
    ]
    return "\n".join(lines + [f"note: {printable(text)}" for text in inspection.notes])


def report_json(report: Report) -> dict[str, Any]:
    """A report for programs; sizes in bytes, null for what nobody looked for."""
    return {
        "path": as_utf8(str(report.path)),
        "method": report.method or None,
        "apparent": report.apparent,
        "before": report.before,
        "after": report.after,
        "gained": report.gained,
        "seconds": round(report.seconds, 3),
        "verified": list(report.verified),
        **_plan_json(report.plan, scanned=report.scanned),
        "notes": [as_utf8(note) for note in report.notes],
    }


def inspection_json(inspection: Inspection) -> dict[str, Any]:
    """An inspection for programs; sizes in bytes."""
    return {
        "path": as_utf8(str(inspection.path)),
        "apparent": inspection.plan.survey.size,
        "allocated": inspection.plan.survey.allocated,
        "gain": inspection.plan.gain,
        **_plan_json(inspection.plan, scanned=True),
        "notes": [as_utf8(note) for note in inspection.notes],
    }


def _plan_json(plan: Plan, *, scanned: bool) -> dict[str, Any]:
    parts = []
    for share in plan.shares():
        region = share.region
        amounts: dict[str, int | None] = {
            k.replace(" ", "_"): n for k, n in share.amounts().items()
        }
        if not scanned:
            amounts["zero"] = None
        parts.append(
            {
                "partition": region.partition.number if region else None,
                "name": region.partition.name if region else None,
                "filesystem": (region.partition.filesystem or None) if region else None,
                "start": region.partition.start if region else None,
                "end": region.partition.end if region else None,
                "trouble": (region.trouble or None) if region else None,
                "bytes": amounts,
            }
        )
    return {"table": plan.survey.table.label, "block": plan.survey.block, "parts": parts}
