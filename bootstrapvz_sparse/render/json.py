"""Inspections, reports and ledgers as JSON, described by ``docs/*.schema.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..image.plans import Plan
from ..ledger.ledger import LEDGER_VERSION
from ..util.text import as_utf8

if TYPE_CHECKING:
    from ..image.api import Report
    from ..ledger.ledger import Ledger

JSON_VERSION = 1


def images_json(images: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """Return the document of ``images``, which are reports or inspections."""
    return {"version": JSON_VERSION, "images": list(images)}


def report_json(report: Report) -> dict[str, object]:
    """Return a report; sizes are in bytes, null where they were not determined."""
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


def inspection_json(plan: Plan) -> dict[str, object]:
    """Return an inspection; sizes are in bytes."""
    return {
        "path": as_utf8(str(plan.path)),
        "apparent": plan.survey.size,
        "allocated": plan.survey.allocated,
        "gain": plan.gain,
        **_plan_json(plan, scanned=True),
        "notes": [as_utf8(note) for note in plan.notes],
    }


def ledger_json(
    ledger: Ledger, *, image: str | None, tarball: str | None = None
) -> dict[str, object]:
    """Return a ledger; ``image`` and ``tarball`` are the final paths or None.

    :func:`..ledger.ledger.load` reads it.
    """
    return {
        "version": LEDGER_VERSION,
        "image": image and as_utf8(image),
        "tarball": tarball and as_utf8(tarball),
        "stages": [
            {
                "stage": entry.stage,
                "apparent": entry.apparent,
                "allocated": entry.allocated,
                "seconds": round(entry.seconds, 3),
                "method": entry.method or None,
            }
            for entry in ledger.entries
        ],
        "peak": ledger.peak,
        "limit": dict(ledger.limits),
        "verified": list(ledger.verified),
        "notes": [as_utf8(note) for note in ledger.notes],
    }


def _plan_json(plan: Plan, *, scanned: bool) -> dict[str, object]:
    """Return the partition table, the block size and the parts of an image."""
    parts = []
    for share in plan.shares():
        partition = share.region.partition if share.region else None
        amounts: dict[str, int | None] = {
            kind.replace(" ", "_"): size for kind, size in share.amounts().items()
        }
        if not scanned:
            amounts["zero"] = None
        parts.append(
            {
                "partition": partition.number if partition else None,
                "name": partition.name if partition else None,
                "filesystem": (partition.filesystem or None) if partition else None,
                "start": partition.start if partition else None,
                "end": partition.end if partition else None,
                "trouble": (share.region.skip_reason or None) if share.region else None,
                "bytes": amounts,
            }
        )
    return {"table": plan.survey.table.label, "block": plan.survey.block, "parts": parts}
