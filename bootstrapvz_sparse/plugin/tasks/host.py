"""The programs that a build needs for what the manifest asks of us."""

from __future__ import annotations

import shutil
from typing import Any

from bootstrapvz.base import Task
from bootstrapvz.common import phases
from bootstrapvz.common.exceptions import TaskError
from bootstrapvz.common.tasks import host, loopback

from ...util.programs import PACKAGES
from ..backings import BACKINGS
from ..settings import Settings

BY_METHOD = {
    "copy": ["cp"],
    "reflink": ["cp"],
    "dig-holes": ["fallocate"],
    "virt-sparsify": ["virt-sparsify"],
    "virt-sparsify-copy": ["virt-sparsify"],
    "qemu-img": ["qemu-img"],
}
BY_RECLAIM = {"discard": ["fstrim"], "zerofree": ["zerofree"]}


class AddRequiredCommands(Task):
    """Missing programs are named before anything is created."""

    description = "Adding commands required for sparse images"
    phase = phases.validation
    predecessors = [loopback.AddRequiredCommands]
    successors = [host.CheckExternalCommands]

    @classmethod
    def run(cls, info: Any) -> None:
        settings = Settings.of(info.manifest.plugins)
        programs = ["blkid", "sfdisk"]  # what lies where in the image
        programs += BY_METHOD.get(settings.sparsify, []) + BY_RECLAIM.get(settings.reclaim, [])
        if BACKINGS[info.manifest.volume["backing"]].format and settings.sparsify != "none":
            programs.append("qemu-img")
        if settings.tarball_compressor != "auto":
            programs.append(settings.tarball_compressor)
        for program in programs:
            info.host_dependencies[program] = PACKAGES[program]
        if settings.sparsify_command and not shutil.which(settings.sparsify_command[0]):
            program = settings.sparsify_command[0]
            raise TaskError(f"plugins.sparse.sparsify_command: there is no program {program}")
        if not shutil.which("truncate"):  # CreateSparse does without
            info.host_dependencies.pop("truncate", None)
