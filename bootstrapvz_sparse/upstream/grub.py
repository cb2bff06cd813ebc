"""GRUB on the partitions of a volume, which may be loop devices."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from . import loop_partitions
from .registry import repair


@repair("bootstrapvz.base.fs.partitions.base", fork_too=True)
def link_uuid(module: Any) -> None:
    """Link the root's UUID in /dev: the original fails without the folder, and leaves its link."""
    module.BasePartition.link_uuid = _link_uuid
    module.BasePartition.unlink_uuid = _unlink_uuid


@repair("bootstrapvz.common.tasks.grub", fork_too=True)
def install_grub(module: Any) -> None:
    """Install GRUB's partition module and check grub.cfg: else machines stop at a GRUB prompt."""
    module.InstallGrub_2.run = classmethod(_install_grub)


def _link_uuid(self: Any) -> None:
    """Create the link that GRUB needs to name the root by its UUID."""
    link = loop_partitions.LINKS / self.get_uuid()
    if not os.path.lexists(link):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(self.device_path)
        self.disk_by_uuid_path = str(link)


def _unlink_uuid(self: Any) -> None:
    """Remove the link, unless it is older than the build."""
    if self.disk_by_uuid_path:
        Path(self.disk_by_uuid_path).unlink(missing_ok=True)
    self.disk_by_uuid_path = None


def _install_grub(cls: Any, info: Any) -> None:
    """Install GRUB 2 and its configuration, and check it: both programs hide failures.

    GRUB mistakes a partition on a loop device for an unpartitioned disk, and omits the module that
    finds partitions.

    :raises TaskError: a machine would not boot with this configuration
    """
    # bootstrap-vz must be imported after upstream.install()
    from bootstrapvz.base.fs.partitionmaps.gpt import GPTPartitionMap
    from bootstrapvz.base.fs.partitionmaps.none import NoPartitions
    from bootstrapvz.common.exceptions import TaskError
    from bootstrapvz.common.tools import log_check_call

    partition_map = info.volume.partition_map
    options = []
    if not isinstance(partition_map, NoPartitions):
        label = "gpt" if isinstance(partition_map, GPTPartitionMap) else "msdos"
        options = ["--target=i386-pc", f"--modules=part_{label}"]
    log_check_call(["chroot", info.root, "grub-install", *options, info.volume.device_path])
    log_check_call(["chroot", info.root, "update-grub"])
    path = Path(info.root, "boot/grub/grub.cfg")
    config = path.read_text(errors="replace") if path.exists() else ""
    root = f"root=UUID={partition_map.root.get_uuid()}"
    if root not in config:
        raise TaskError(f"boot/grub/grub.cfg: {root} is missing (see update-grub's output)")
    nodes = str(loop_partitions.NODES)
    for word in ("loopback ", "/dev/loop", nodes, "/dev/mapper", str(info.workspace)):
        if word in config:
            raise TaskError(f"boot/grub/grub.cfg: refers to {word.strip()} of the build host")
