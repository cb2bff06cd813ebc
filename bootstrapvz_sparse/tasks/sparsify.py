"""The detached volume, made sparse again."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from bootstrapvz.base import Task
from bootstrapvz.base.fs.partitionmaps.none import NoPartitions
from bootstrapvz.common import phases
from bootstrapvz.common.tasks import volume

from ..image import loop
from ..image.holes import NotSupported
from ..image.sparsify import sparsify
from ..settings import Settings
from .ledger import ledger

log = logging.getLogger(__name__)


DETACH_PATIENCE = 10  # seconds


def _wait_until_detached(image: Path) -> None:
    """losetup --detach is done later by the kernel while somebody, such as udev, looks at it."""
    deadline = time.monotonic() + DETACH_PATIENCE
    while loop.devices(image) and time.monotonic() < deadline:
        time.sleep(0.1)


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
        if settings.sparsify == "none":
            return
        _wait_until_detached(image)
        whole = [(0, image.stat().st_size)]
        filesystems = whole if isinstance(info.volume.partition_map, NoPartitions) else []
        try:
            report = sparsify(image, filesystems, reclaim=settings.reclaim != "none")
        except NotSupported as reason:
            notes: tuple[str, ...] = (f"not made sparse: holes cannot be punched here, {reason}",)
        else:
            notes = report.notes
        for note in notes:
            log.warning(note)
        book.notes += notes
        book.measure("sparsified", image)
