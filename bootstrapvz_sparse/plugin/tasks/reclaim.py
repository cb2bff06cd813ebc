"""Free the blocks that filesystems no longer use, while the volume is attached."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bootstrapvz.base import Task
from bootstrapvz.common import phases
from bootstrapvz.common.tasks import filesystem, partitioning, volume
from bootstrapvz.common.tools import log_check_call

from ...image import discard, zerofree
from ...image.filesystems import KINDS, UntrustedMetadata
from ...util.errors import CheckUnavailable, ProgramFailed
from ...util.mounts import mounts
from .. import context
from ..context import Info, Partition
from .ledger import warn

log = logging.getLogger(__name__)


class EnableOnlineDiscard(Task):
    """Let the kernel free blocks as files are deleted, which lowers the peak of the build."""

    description = "Discarding blocks as files are deleted"
    phase = phases.volume_mounting
    predecessors = [filesystem.MountRoot]
    successors = [filesystem.CreateBootMountDir]  # nothing is mounted below the root yet

    @classmethod
    def run(cls, info: Info) -> None:
        root = info.volume.partition_map.root
        try:
            log_check_call(["mount", "--options", "remount,discard", info.root])
        except subprocess.CalledProcessError:  # not every driver of ext2 supports it
            log.info("%s cannot discard blocks as files are deleted", root.filesystem)
            return
        if "discard" in _options(info.root):
            return
        # xfs honours it only when it is mounted
        log_check_call(["umount", info.root])
        device = ["--types", root.filesystem, root.device_path, info.root]
        try:
            log_check_call(["mount", "--options", "discard", *device])
        except BaseException:
            log_check_call(["mount", *device])  # bootstrap-vz expects it to be mounted
            raise


def _options(point: str) -> tuple[str, ...]:
    """Return the options of the filesystem mounted last on ``point``."""
    real = os.path.realpath(point)
    return [mount.options for mount in mounts() if mount.point == real][-1]


def kinds_to_discard(reclaim: str, volume: Mapping[str, Any]) -> set[str]:
    """Return the filesystems of the volume in which the kernel is to discard free blocks.

    By default these are the filesystems without a reader: the engine itself never mounts an image.
    """
    settings = volume["partitions"].values()
    kinds = {
        each["filesystem"]
        for each in settings
        if isinstance(each, Mapping) and "filesystem" in each
    }
    if reclaim == "auto":
        return {kind for kind in kinds if kind in KINDS and not KINDS[kind].reader}
    return kinds if reclaim == "discard" else set()


class Discard(Task):
    """Run fstrim(8) on the selected filesystems, as late as possible."""

    description = "Discarding free blocks"
    phase = phases.volume_unmounting
    predecessors = [filesystem.RemoveMountTable]
    successors = [filesystem.UnmountRoot]

    @classmethod
    def run(cls, info: Info) -> None:
        wanted = kinds_to_discard(context.settings(info).reclaim, info.manifest.volume)
        for partition, point in _mount_points(info):
            if partition.filesystem not in wanted:
                continue
            try:
                discard.trim(point)
                context.state(info).discarded.add(partition.filesystem)
            except ProgramFailed as reason:
                warn(info, f"{point}: free blocks not discarded: {reason}")


def _mount_points(info: Info) -> Iterator[tuple[Partition, str]]:
    """Yield the partitions of the volume and their mount points."""
    root = info.volume.partition_map.root
    for mount in root.mounts.values():
        if hasattr(mount.source, "filesystem"):  # a partition, not a folder of the host
            yield mount.source, mount.mount_dir
    yield root, root.mount_dir


class Zerofree(Task):
    """Run zerofree(8) on each ext filesystem that is clean."""

    description = "Zeroing free blocks"
    phase = phases.volume_unmounting
    predecessors = [filesystem.UnmountRoot]
    successors = [partitioning.UnmapPartitions, volume.Detach]

    @classmethod
    def run(cls, info: Info) -> None:
        for partition in info.volume.partition_map.partitions:
            if not (partition.filesystem or "").startswith("ext"):
                continue
            try:
                zerofree.zerofree(Path(partition.device_path))
            except (UntrustedMetadata, ProgramFailed, CheckUnavailable) as reason:
                warn(info, f"{partition.device_path}: free blocks not zeroed: {reason}")
