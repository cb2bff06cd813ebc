"""The tarball that Google Compute Engine imports."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from bootstrapvz.base import Task
from bootstrapvz.common import phases
from bootstrapvz.common.exceptions import TaskError
from bootstrapvz.common.tasks import image as upstream_image
from bootstrapvz.providers.gce.tasks import image as gce

from ...image.tarball import UNIT, write, wrong_size
from ...util.text import human
from ..settings import Settings
from .ledger import above_limit, ledger
from .move import MoveSparse

log = logging.getLogger(__name__)

# https://cloud.google.com/compute/docs/naming-resources
NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


def _name(info: Any) -> str:
    """The name of the image at Compute Engine, made as bootstrap-vz makes it."""
    name: str = info.manifest.name.format(**info.manifest_vars)
    return name.lower().replace(".", "-")


class CheckImage(Task):
    """What Compute Engine would refuse, before anything is created."""

    description = "Checking name and size for Compute Engine"
    phase = phases.validation

    @classmethod
    def run(cls, info: Any) -> None:
        name = _name(info)
        if not NAME.fullmatch(name):
            raise TaskError(
                f"name: {name} is no name of an image at Compute Engine: at most 63 letters, "
                "digits and -, the first a letter, the last no -"
            )
        size = int(info.volume.size.bytes)
        if size % UNIT:
            raise TaskError(
                f"volume.partitions: {wrong_size(size)}; increase volume.partitions.root.size"
            )


class CreateTarball(Task):
    """In place of the provider's: the same image gives the same tarball, which is checked."""

    description = "Creating and checking the tarball"
    phase = phases.image_registration
    predecessors = [upstream_image.MoveImage, MoveSparse]
    successors = [gce.CreateTarball]  # which is not run: before all that comes after it

    @classmethod
    def run(cls, info: Any) -> None:
        settings = Settings.of(info.manifest.plugins)
        name = _name(info)
        path = Path(info.manifest.bootstrapper["workspace"], f"{name}.tar.gz")
        info._gce.update(image_name=name, tarball_name=path.name, tarball_path=str(path))
        tarball = write(
            Path(info.volume.image_path),
            path,
            compressor=settings.tarball_compressor,
            level=settings.tarball_level,
        )
        log.info("The tarball has been placed at %s", path)
        book = ledger(info)
        book.measure("packed", path)
        book.verified.append("the tarball holds the image")
        book.limits["tarball"] = limit = settings.limit_tarball
        if limit is not None and tarball.size > limit:
            path.unlink()
            above_limit(
                info,
                f"plugins.sparse.limit.tarball: the tarball has {human(tarball.size)}, "
                f"{human(tarball.size - limit)} more than {human(limit)}",
            )


class Delete(Task):
    """Of a build that fails after it."""

    description = "Deleting the tarball"
    phase = phases.cleaning

    @classmethod
    def run(cls, info: Any) -> None:
        Path(info._gce["tarball_path"]).unlink(missing_ok=True)
