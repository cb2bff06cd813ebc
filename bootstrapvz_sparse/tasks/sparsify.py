"""The detached volume, made sparse again."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from bootstrapvz.base import Task
from bootstrapvz.common import phases
from bootstrapvz.common.tasks import volume

from ..image import loop
from ..image.holes import NotSupported
from ..image.sparsify import sparsify
from ..settings import Settings
from .ledger import ledger

log = logging.getLogger(__name__)


class Sparsify(Task):
    """Holes for every block that is zero or that the filesystem calls free."""

    description = "Making the volume sparse"
    phase = phases.volume_unmounting
    predecessors = [volume.Detach]

    @classmethod
    def run(cls, info: Any) -> None:
        image = Path(info.volume.image_path)
        settings = Settings.of(info.manifest.plugins)
        book = ledger(info)
        book.measure("built", image)
        if settings.sparsify == settings.reclaim == "none":
            return
        loop.wait_until_detached(image)
        try:
            report = sparsify(image, method=settings.sparsify, reclaim=settings.reclaim)
        except NotSupported as reason:
            notes: tuple[str, ...] = (f"not made sparse: {reason}",)
        else:
            notes = report.notes
        for note in notes:
            log.warning(note)
        book.notes += notes
        book.measure("sparsified", image)
