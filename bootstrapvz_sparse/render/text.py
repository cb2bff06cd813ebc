"""Inspections, reports, tarballs and ledgers as text for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..image.plans import Share
from ..image.survey import Survey
from ..util.text import human, printable
from .cells import cell_size, cells
from .kinds import KINDS

if TYPE_CHECKING:
    from ..image.api import Report
    from ..image.plans import Plan
    from ..image.tarball import Tarball
    from ..ledger.ledger import Ledger

ROWS = 16  # approximate limit for the map of a whole image
ALWAYS_SHOWN = ("in use", "zero", "free")  # columns that are shown even if all values are 0
LIMITS = {"allocated": "for the image, on disk", "tarball": "for the size of the tarball"}


def report_text(report: Report) -> str:
    """Return the result of sparsifying an image: a summary line, then proofs and notes."""
    sizes = f"{human(report.before)} -> {human(report.after)} on disk"
    freed = human(report.freed)
    if report.method:
        line = f"freed {freed} ({sizes}, {report.method}, {report.seconds:.1f} s)"
    else:
        line = f"would free {freed}: {sizes}"
    lines = [f"{printable(str(report.path))}: {line}"]
    if not report.method:
        lines.append(table(report.plan.shares()))
    lines += [f"verified: {printable(text)}" for text in report.verified]
    lines += [f"note: {printable(text)}" for text in report.notes]
    return "\n".join(lines)


def inspection_text(plan: Plan, *, width: int, colour: bool, ascii_only: bool) -> str:
    """Return a table and a map of an image, and the space that sparsifying would free."""
    survey, shares = plan.survey, plan.shares()
    sizes = f"{human(survey.allocated)} of {human(survey.size)} on disk"
    lines = [
        f"{printable(str(plan.path))}: {sizes}",
        table(shares),
        block_map(survey, shares, width=width, colour=colour, ascii_only=ascii_only),
        f"bvz-sparse sparsify would free {human(plan.gain)}",
    ]
    return "\n".join(lines + [f"note: {printable(text)}" for text in plan.notes])


def tarball_text(path: Path, tarball: Tarball) -> str:
    """Return a line with the sizes of the tarball at ``path``."""
    disk = f"a disk of {human(tarball.disk)}, {human(tarball.stored)} of it stored"
    return f"{printable(str(path))}: {human(tarball.size)}, {disk}"


def ledger_text(ledger: Ledger) -> str:
    """Return the stages of a build as a table, then proofs and notes."""
    rows = [("stage", "file size", "on disk", "time", "")]
    rows += [
        (e.stage, human(e.apparent), human(e.allocated), f"{e.seconds:.1f} s", e.method)
        for e in ledger.entries
    ]
    if ledger.peak is not None:
        rows.append(("peak", "", human(ledger.peak), "", "the most on disk during the build"))
    for kind, limit in ledger.limits.items():
        if limit is not None:
            rows.append(("limit", "", human(limit), "", LIMITS[kind]))
    lines = [
        printable(f"{stage:<12}{size:>12}{on_disk:>14}{time:>10}  {detail}".rstrip())
        for stage, size, on_disk, time, detail in rows
    ]
    if ledger.entries:
        lines.append("on disk: the space that the file occupies; the rest of its size is holes")
    lines += [f"verified: {printable(text)}" for text in ledger.verified]
    return "\n".join(lines + [printable(note) for note in ledger.notes])


def name(share: Share) -> str:
    """Return the number of a partition, ``whole`` or ``outside``."""
    if share.region is None:
        return "outside"
    return str(share.region.partition.number or "whole")


def table(shares: list[Share]) -> str:
    """Return a table of the parts of an image, one line each, by kind of bytes."""
    amounts = [share.amounts() for share in shares]
    columns = [k for k in (*KINDS, "lost") if k in ALWAYS_SHOWN or any(a[k] for a in amounts)]
    rows = [["partition", "filesystem", "size", *columns]]
    for share, amount in zip(shares, amounts):
        filesystem = share.region.partition.filesystem if share.region else ""
        size = human(sum(amount[kind] for kind in KINDS))
        rows.append([name(share), filesystem or "-", size, *(human(amount[k]) for k in columns)])
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
    """Return a map of the image; each character shows the kind of most of its bytes."""
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
    lines.append(f"{'  '.join(legend)}   (1 character = {human(cell)})")
    return "\n".join(lines)


def _paint(kinds: list[str], colour: bool, ascii_only: bool) -> str:
    """Return the signs of ``kinds``, with an escape sequence before each change of colour."""
    text, selected = "", ""
    for kind in kinds:
        looks = KINDS[kind]
        if colour and looks.sgr != selected:
            text, selected = f"{text}\033[{looks.sgr}m", looks.sgr
        text += looks.ascii_sign if ascii_only else looks.sign
    return f"{text}\033[0m" if colour and kinds else text
