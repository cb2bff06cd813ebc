"""The detached volume, made sparse again."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from bootstrapvz.base import Task
from bootstrapvz.common import phases
from bootstrapvz.common.tasks import volume

from ...image.api import sparsify
from ...image.convert import convert
from ...image.filesystems import READERS
from ...ledger.ledger import Ledger
from ...util import loop
from ...util.errors import Unsupported
from ..backings import BACKINGS
from ..settings import Settings
from .ledger import ledger, remark

log = logging.getLogger(__name__)

BEFORE_DETACHING = ("discard", "zerofree")  # ways to reclaim that are tasks of their own


class Sparsify(Task):
    """Holes for every block that is zero or that the filesystem calls free."""

    description = "Making the volume sparse"
    phase = phases.volume_unmounting
    predecessors = [volume.Detach]

    @classmethod
    def run(cls, info: Any) -> None:
        image = Path(info.volume.image_path)
        settings = Settings.of(info.manifest.plugins)
        backing = BACKINGS[info.manifest.volume["backing"]]
        book = ledger(info)
        if peak := info._bootstrapvz_sparse.pop("peak", None):
            peak.stop()
            book.peak = peak.bytes
        book.measure("built", image)
        reclaim = "none" if settings.reclaim in BEFORE_DETACHING else settings.reclaim
        if settings.sparsify == "none" and (reclaim == "none" or backing.format):
            return
        loop.wait_until_detached(image.stat())
        try:
            if backing.format:
                method, notes = _convert(image, backing.format, reclaim, book, settings)
            else:
                method, notes = _sparsify(image, reclaim, book, settings)
        except Unsupported as reason:
            remark(info, f"not made sparse: {reason}")
            return
        for note in notes:
            remark(info, note)
        book.measure("sparsified", image, method=method)


def _sparsify(
    image: Path, reclaim: str, book: Ledger, settings: Settings
) -> tuple[str, tuple[str, ...]]:
    """In place, or by a second file: the method, and remarks."""
    report = sparsify(
        image,
        method=settings.sparsify,
        reclaim=reclaim,
        min_hole=settings.min_hole,
        command=settings.sparsify_command,
        verify=settings.verify,
    )
    for region in report.plan.survey.regions:
        kind = region.partition.filesystem
        if reclaim != "none" and kind and not region.skip_reason:
            # what is left alone is a remark
            way = (
                "read from its metadata"
                if kind in READERS
                else "discarded by the kernel, since nothing here reads its metadata"
            )
            log.info("%s: the free blocks of %s are %s", region.partition, kind, way)
    book.verified += report.verified
    return report.method, report.notes


def _convert(
    image: Path, format: str, reclaim: str, book: Ledger, settings: Settings
) -> tuple[str, tuple[str, ...]]:
    log.info("%s: unpacked, since only a raw disk can have holes punched", format)
    converted = convert(image, format, reclaim=reclaim, verify=settings.verify)
    book.verified += converted.verified
    return "qemu-img", converted.notes
