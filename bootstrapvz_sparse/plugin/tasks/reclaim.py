"""Blocks that the filesystem no longer uses, while it is still attached."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bootstrapvz.base import Task
from bootstrapvz.common import phases
from bootstrapvz.common.tasks import filesystem, partitioning, volume
from bootstrapvz.common.tools import log_check_call

from ...image import discard, zerofree
from ...image.filesystems import UntrustedMetadata
from ...util.errors import CheckUnavailable, ProgramFailed
from ...util.mounts import mounts
from .ledger import remark

log = logging.getLogger(__name__)


class EnableOnlineDiscard(Task):
    """The kernel frees blocks of the volume as files are deleted: what a build peaks at is less."""

    description = "Discarding blocks as files are deleted"
    phase = phases.volume_mounting
    predecessors = [filesystem.MountRoot]
    successors = [filesystem.CreateBootMountDir]  # nothing is mounted in it yet

    @classmethod
    def run(cls, info: Any) -> None:
        root = info.volume.partition_map.root
        try:
            log_check_call(["mount", "--options", "remount,discard", info.root])
        except subprocess.CalledProcessError:  # not every driver of ext2 can
            log.info("%s cannot discard blocks as files are deleted", root.filesystem)
            return
        if "discard" in _options(info.root):
            return
        # xfs takes it only from the beginning
        log_check_call(["umount", info.root])
        device = ["--types", root.filesystem, root.device_path, info.root]
        try:
            log_check_call(["mount", "--options", "discard", *device])
        except BaseException:
            log_check_call(["mount", *device])  # as bootstrap-vz believes it to be
            raise


def _options(point: str) -> tuple[str, ...]:
    """Return the options of the filesystem mounted last on ``point``."""
    real = os.path.realpath(point)
    return [mount.options for mount in mounts() if mount.point == real][-1]


class Discard(Task):
    """fstrim(8) of each filesystem, as late as it can be."""

    description = "Discarding free blocks"
    phase = phases.volume_unmounting
    predecessors = [filesystem.RemoveMountTable]
    successors = [filesystem.UnmountRoot]

    @classmethod
    def run(cls, info: Any) -> None:
        for point in _mount_points(info):
            try:
                discard.trim(point)
            except ProgramFailed as reason:
                remark(info, f"{point}: free blocks were not discarded: {reason}")


def _mount_points(info: Any) -> Iterator[str]:
    """Where partitions of the volume are mounted."""
    root = info.volume.partition_map.root
    for mount in root.mounts.values():
        if hasattr(mount.source, "filesystem"):  # a partition, and no folder of the host
            yield mount.mount_dir
    yield root.mount_dir


class Zerofree(Task):
    """zerofree(8) on each ext filesystem that is in order."""

    description = "Zeroing free blocks"
    phase = phases.volume_unmounting
    predecessors = [filesystem.UnmountRoot]
    successors = [partitioning.UnmapPartitions, volume.Detach]

    @classmethod
    def run(cls, info: Any) -> None:
        for partition in info.volume.partition_map.partitions:
            if not (partition.filesystem or "").startswith("ext"):
                continue
            try:
                zerofree.zerofree(Path(partition.device_path))
            except (UntrustedMetadata, ProgramFailed, CheckUnavailable) as reason:
                remark(info, f"{partition.device_path}: free blocks left alone: {reason}")
