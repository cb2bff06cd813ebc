"""The raw volume, created sparse."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from bootstrapvz.base import Task
from bootstrapvz.common import phases
from bootstrapvz.common.exceptions import TaskError
from bootstrapvz.common.tasks import loopback

from ...image.extents import allocated


class CreateSparse(Task):
    """In place of ``loopback.Create``: a new file, whole in size and without a block."""

    description = "Creating a sparse volume"
    phase = phases.volume_creation
    successors = [loopback.Create]  # which is not run: before all that comes after it

    @classmethod
    def run(cls, info: Any) -> None:
        image = Path(info.workspace, f"volume.{info.volume.extension}")
        size = int(info.volume.size.bytes)
        image.open("xb").close()  # never over a file that is there
        try:
            if shutil.which("truncate"):
                info.volume.create(str(image))
            else:
                _create_without_truncate(info.volume, image, size)
            status = os.stat(image)
            if (status.st_size, allocated(status)) != (size, 0):
                raise TaskError(
                    f"{image} was created with {status.st_size} bytes, {allocated(status)} of them "
                    f"allocated, instead of {size} and none"
                )
        except BaseException:
            image.unlink()
            raise


def _create_without_truncate(volume: Any, image: Path, size: int) -> None:
    """By the system call that truncate(1) makes; the volume becomes what ``create`` makes it."""
    os.truncate(image, size)
    volume.image_path = str(image)
    volume.fsm.current = "detached"
    volume._after_create(None)
