"""Tables for people to read."""

from __future__ import annotations

from .copies import MIB
from .images import Image
from .runs import Results
from .ways import WAYS

HEAD = ("way", "rounds", "seconds", "to ours", "MiB left", "extra", "read", "memory", "extents")

NOTES = """\
Medians over the rounds; "to ours" is the median of the ratios within each round.
seconds   from the first program's start to the last one's end, without a final sync
MiB left  what the image takes (st_blocks) once everything is synced
extra     MiB of a second copy, at its largest
read      MiB that the way's processes read by system calls (rchar), whatever of it was in the page
          cache; for ours without what Python reads to start ({start:.2f} MiB); where an image is
          mounted, with what the kernel reads from its loop device
memory    peak MiB of the largest process; what is below that of the measuring one reads "<"
extents   of the image file on its own filesystem"""


def table(image: Image, results: Results) -> str:
    """Return the table of all ways that ran on ``image``."""
    rows = [_row(image.name, way.name, results) for way in WAYS]
    lines = [HEAD, *filter(None, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    text = (
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths))
        )
        for line in lines
    )
    return "\n".join(text)


def _row(image: str, way: str, results: Results) -> tuple[str, ...] | None:
    runs = results.runs.get((image, way))
    if not runs:
        return None

    def median(what: str) -> float:
        return results.median(image, way, what) or 0

    ratio = results.ratio((image, way), (image, "ours"))
    memory, least = median("memory"), median("least_memory")
    return (
        way,
        str(len(runs)),
        f"{median('seconds'):.2f}",
        "-" if ratio is None else f"{ratio:.2f}",
        f"{median('left') / MIB:,.1f}",
        f"{median('extra') / MIB:,.0f}",
        f"{median('read') / MIB:,.2f}",
        f"{'<' if memory <= least else ''}{memory / MIB:.0f}",
        f"{median('extents'):,.0f}",
    )
