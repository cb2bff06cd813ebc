"""The raw volume, created sparse."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bootstrapvz.base import Task
from bootstrapvz.common import phases
from bootstrapvz.common.exceptions import TaskError
from bootstrapvz.common.tasks import loopback

from ...image.extents import allocated
from ..context import Info, Volume


class CreateSparse(Task):
    """Create a file of full size without allocated blocks, instead of ``loopback.Create``."""

    description = "Creating a sparse volume"
    phase = phases.volume_creation
    successors = [loopback.Create]  # not run itself: keep its place in the order

    @classmethod
    def run(cls, info: Info) -> None:
        image = Path(info.workspace, f"volume.{info.volume.extension}")
        size = int(info.volume.size.bytes)
        image.open("xb").close()  # never over an existing file
        try:
            if shutil.which("truncate"):
                info.volume.create(str(image))
            else:
                _create_without_truncate(info.volume, image, size)
            status = os.stat(image)
            if (status.st_size, allocated(status)) != (size, 0):
                raise TaskError(
                    f"{image}: created with {status.st_size} bytes, {allocated(status)} of them "
                    f"allocated; expected {size} bytes, none allocated"
                )
        except BaseException:
            image.unlink()
            raise


def _create_without_truncate(volume: Volume, image: Path, size: int) -> None:
    """Create the volume as ``volume.create`` does, using the system call behind truncate(1)."""
    os.truncate(image, size)
    volume.image_path = str(image)
    volume.fsm.current = "detached"
    volume._after_create(None)
