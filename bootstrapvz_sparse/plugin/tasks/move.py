"""The image, moved to where it is to be."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from bootstrapvz.base import Task
from bootstrapvz.common import phases
from bootstrapvz.common.tasks import image

from ...image.move import move
from ..settings import Settings
from .ledger import ledger, remark

log = logging.getLogger(__name__)


class MoveSparse(Task):
    """In place of ``image.MoveImage``, which fills the holes on the way to another filesystem."""

    description = "Moving the sparse image"
    phase = phases.image_registration
    successors = [image.MoveImage]  # which is not run: before all that comes after it

    @classmethod
    def run(cls, info: Any) -> None:
        name = info.manifest.name.format(**info.manifest_vars)
        folder = Path(info.manifest.bootstrapper["workspace"])
        destination = folder / f"{name}.{info.volume.extension}"
        verify = Settings.of(info.manifest.plugins).verify
        for note in move(Path(info.volume.image_path), destination, verify=verify):
            remark(info, note)
        info.volume.image_path = str(destination)
        ledger(info).measure("moved", destination)
        log.info("The volume image has been moved to %s", destination)
