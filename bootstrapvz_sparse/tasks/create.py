"""The raw volume, created sparse."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bootstrapvz.base import Task
from bootstrapvz.common import phases
from bootstrapvz.common.exceptions import TaskError
from bootstrapvz.common.tasks import volume

from ..image.extents import allocated
from .ledger import ledger


class CreateSparse(Task):
    """In place of ``loopback.Create``: a new file, whole in size and without a block."""

    description = "Creating a sparse volume"
    phase = phases.volume_creation
    successors = [volume.Attach]

    @classmethod
    def run(cls, info: Any) -> None:
        book = ledger(info)
        image = Path(info.workspace, f"volume.{info.volume.extension}")
        image.open("xb").close()  # never over a file that is there
        try:
            info.volume.create(str(image))  # GNU truncate
            status = os.stat(image)
            size = int(info.volume.size.bytes)
            if (status.st_size, allocated(status)) != (size, 0):
                raise TaskError(
                    f"{image} was created with {status.st_size} bytes, {allocated(status)} of them "
                    f"allocated, instead of {size} and none"
                )
        except BaseException:
            image.unlink()
            raise
        book.measure("created", image)
