"""Rollback tasks that keep the finished image of a build that fails afterwards."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from bootstrapvz.base import Task
from bootstrapvz.common import phases
from bootstrapvz.common.exceptions import TaskError
from bootstrapvz.common.tasks import volume, workspace

from ...image.move import move
from ...util.errors import VerificationFailed
from .. import context
from ..context import Info

log = logging.getLogger(__name__)


class OverLimit(TaskError):
    """The image exceeds a limit of the manifest."""


def is_wanted() -> bool:
    """Return whether the failure that is being handled leaves a finished image worth keeping.

    An interrupted build is undone; so is one whose image is wrong or too large.
    """
    return not isinstance(sys.exc_info()[1], (KeyboardInterrupt, VerificationFailed, OverLimit))


class KeepImage(Task):
    """Move the detached volume out of the folder of the run, which is deleted."""

    description = "Keeping the image"
    phase = phases.cleaning
    successors = [volume.Delete, workspace.DeleteWorkspace]

    @classmethod
    def run(cls, info: Info) -> None:
        image = Path(info.volume.image_path)
        if image.parent == Path(info.workspace):
            kept = context.workspace(info) / f"{info.run_id}.{info.volume.extension}"
            move(image, kept)
            image = kept
        info.volume.image_path = str(image)
        info.volume.delete = _nothing  # other plugins may have asked for volume.Delete
        how = "finished image is kept" if context.state(info).finished else "image is kept as it is"
        _report(info, f"the {how}: {image}")


class KeepTarball(Task):
    """Print the path of the tarball, which is complete and checked."""

    description = "Keeping the tarball"
    phase = phases.cleaning
    successors = [workspace.DeleteWorkspace]

    @classmethod
    def run(cls, info: Info) -> None:
        _report(info, f"the finished tarball is kept: {info._gce['tarball_path']}")


def _nothing() -> None:
    """Do not delete the volume."""


def _report(info: Info, message: str) -> None:
    context.state(info).kept = message
    log.warning("%s", message)
