"""The programs that the settings of the manifest need."""

from __future__ import annotations

import shutil

from bootstrapvz.base import Task
from bootstrapvz.common import phases
from bootstrapvz.common.exceptions import TaskError
from bootstrapvz.common.tasks import host, loopback

from ...image.methods import METHODS
from ...util.programs import PACKAGES
from .. import context
from ..context import Info
from .reclaim import kinds_to_discard


class AddRequiredCommands(Task):
    """Let bootstrap-vz report missing programs before anything is created."""

    description = "Adding commands required for sparse images"
    phase = phases.validation
    predecessors = [loopback.AddRequiredCommands]
    successors = [host.CheckExternalCommands]

    @classmethod
    def run(cls, info: Info) -> None:
        settings = context.settings(info)
        programs = ["blkid", "sfdisk"]  # needed to find the filesystems of the image
        if settings.sparsify in METHODS:
            programs += METHODS[settings.sparsify].programs
        if settings.reclaim == "zerofree":
            programs.append("zerofree")
        if kinds_to_discard(settings.reclaim, info.manifest.volume):
            programs.append("fstrim")
        if context.backing(info).format and settings.sparsify != "none":
            programs.append("qemu-img")
        if settings.tarball_compressor != "auto":
            programs.append(settings.tarball_compressor)
        for program in programs:
            info.host_dependencies[program] = PACKAGES[program]
        if settings.sparsify_command and not shutil.which(settings.sparsify_command[0]):
            program = settings.sparsify_command[0]
            raise TaskError(f"plugins.sparse.sparsify_command: {program} not found (install it)")
        if not shutil.which("truncate"):  # CreateSparse does not need it
            info.host_dependencies.pop("truncate", None)
