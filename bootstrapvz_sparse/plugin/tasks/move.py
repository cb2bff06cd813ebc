"""Move the image to its final place."""

from __future__ import annotations

import logging
from pathlib import Path

from bootstrapvz.base import Task
from bootstrapvz.common import phases
from bootstrapvz.common.tasks import image

from ...image.move import move
from .. import context
from ..context import Info
from .ledger import warn

log = logging.getLogger(__name__)


class MoveSparse(Task):
    """Move the image without filling its holes, instead of ``image.MoveImage``."""

    description = "Moving the sparse image"
    phase = phases.image_registration
    successors = [image.MoveImage]  # not run itself: keep its place in the order

    @classmethod
    def run(cls, info: Info) -> None:
        name = info.manifest.name.format(**info.manifest_vars)
        destination = context.workspace(info) / f"{name}.{info.volume.extension}"
        verify = context.settings(info).verify
        for note in move(Path(info.volume.image_path), destination, verify=verify):
            warn(info, note)
        info.volume.image_path = str(destination)
        context.state(info).ledger.measure("moved", destination)
        log.info("The volume image has been moved to %s", destination)
