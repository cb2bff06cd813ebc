"""The tarball that Google Compute Engine imports."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from bootstrapvz.base import Task
from bootstrapvz.common import phases
from bootstrapvz.common.exceptions import TaskError
from bootstrapvz.common.tasks import image as upstream_image
from bootstrapvz.providers.gce.tasks import image as gce

from ...image.tarball import UNIT, write, wrong_size
from ...util.text import human
from .. import context
from ..context import Info
from .ledger import above_limit
from .move import MoveSparse

log = logging.getLogger(__name__)

# https://cloud.google.com/compute/docs/naming-resources
NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


def _name(info: Info) -> str:
    """Return the image's name at Compute Engine, derived in the same way as in bootstrap-vz."""
    name: str = info.manifest.name.format(**info.manifest_vars)
    return name.lower().replace(".", "-")


class CheckImage(Task):
    """Check the name and size for Compute Engine, before anything is created."""

    description = "Checking name and size for Compute Engine"
    phase = phases.validation

    @classmethod
    def run(cls, info: Info) -> None:
        name = _name(info)
        if not NAME.fullmatch(name):
            raise TaskError(
                f"name: {name} is not a valid Compute Engine image name (1-63 lower-case letters, "
                "digits or hyphens; starts with a letter, does not end with a hyphen)"
            )
        size = int(info.volume.size.bytes)
        if size % UNIT:
            raise TaskError(
                f"volume.partitions: {wrong_size(size)}; increase volume.partitions.root.size"
            )


class CreateTarball(Task):
    """Create a reproducible, checked tarball, instead of the provider's task."""

    description = "Creating and checking the tarball"
    phase = phases.image_registration
    predecessors = [upstream_image.MoveImage, MoveSparse]
    successors = [gce.CreateTarball]  # not run itself: keep its place in the order

    @classmethod
    def run(cls, info: Info) -> None:
        settings, ledger = context.settings(info), context.state(info).ledger
        name = _name(info)
        path = context.workspace(info) / f"{name}.tar.gz"
        info._gce.update(image_name=name, tarball_name=path.name, tarball_path=str(path))
        tarball = write(
            Path(info.volume.image_path),
            path,
            compressor=settings.tarball_compressor,
            level=settings.tarball_level,
        )
        log.info("The tarball has been placed at %s", path)
        ledger.measure("packed", path)
        ledger.verified.append("the tarball holds the image")
        ledger.limits["tarball"] = limit = settings.limit_tarball
        if limit is not None and tarball.size > limit:
            path.unlink()
            above_limit(
                info,
                f"plugins.sparse.limit.tarball: the tarball has {human(tarball.size)}, "
                f"{human(tarball.size - limit)} more than {human(limit)}",
            )


class Delete(Task):
    """Delete the tarball of a build that fails afterwards."""

    description = "Deleting the tarball"
    phase = phases.cleaning

    @classmethod
    def run(cls, info: Info) -> None:
        Path(info._gce["tarball_path"]).unlink(missing_ok=True)
