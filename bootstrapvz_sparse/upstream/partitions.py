"""Partitions without device-mapper, and GRUB on them.

Behind the interface of bootstrap-vz's partition maps, so that no task knows the difference: each
partition is a loop device of its own. Leans on nothing of the translation: the maintained fork is
served, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MAPPERS = ("auto", "kpartx", "loop")
SECTOR = 512

# update-grub treats /dev/loop[0-9] in its own way: it gets a second node for each loop device,
# named by the run of the build, so that whose it is can be told after a build that was killed
NODES = Path("/dev/bvz-sparse")
LINKS = Path("/dev/disk/by-uuid")
MAPPED = Path("/dev/mapper")  # by kpartx

CONTROL = Path("/dev/mapper/control")  # Documentation/admin-guide/device-mapper of the kernel


def install(mapper: str = "auto") -> str:
    """Let bootstrap-vz map partitions by ``mapper``; the one that ``auto`` stands for.

    :raises ImportError: bootstrap-vz is not there
    """
    from bootstrapvz.base.fs.partitionmaps.abstract import AbstractPartitionMap
    from bootstrapvz.base.fs.partitions.base import BasePartition
    from bootstrapvz.common.tasks import grub, partitioning

    if mapper == "auto":
        mapper = "kpartx" if _has_device_mapper() else "loop"
    BasePartition.link_uuid, BasePartition.unlink_uuid = _link_uuid, _unlink_uuid
    grub.InstallGrub_2.run = classmethod(_install_grub)
    if mapper == "loop":
        AbstractPartitionMap._before_map = _before_map
        AbstractPartitionMap._before_unmap = _before_unmap
        partitioning.AddRequiredCommands.run = classmethod(_add_required_commands)
    return mapper


def _has_device_mapper() -> bool:
    """Found out by opening its device, which loads the driver where the kernel has one."""
    if not shutil.which("kpartx"):
        return False
    try:
        os.close(os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def made(run: str, devices: Iterable[str] = ()) -> list[Path]:
    """Links and nodes in /dev of the build whose run is called ``run``.

    ``devices`` are those that its volume is attached to: what kpartx maps is named by them.
    """
    found = []
    targets = [f"{NODES}/{run}-", *(f"{MAPPED}/{Path(device).name}p" for device in devices)]
    for link in sorted(LINKS.glob("*")):
        with contextlib.suppress(OSError):  # no link, or removed meanwhile
            if os.readlink(link).startswith(tuple(targets)):
                found.append(link)
    nodes = [node for node in sorted(NODES.glob("*")) if node.name.rpartition("-")[0] == run]
    return found + nodes


def clean_up(run: str, devices: Iterable[str] = ()) -> None:
    """Delete what is :func:`made`, and the folder of the nodes if no other build has any."""
    for path in made(run, devices):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        NODES.rmdir()


def _run(volume: Any) -> str:
    """The name of the run, which bootstrap-vz gives to its folder: the volume is in there."""
    return Path(volume.image_path).parent.name


def _add_required_commands(cls: Any, info: Any) -> None:
    """In place of kpartx what stands in for it here."""
    if hasattr(info.volume.partition_map, "create"):  # it is one, and not the lack of one
        info.host_dependencies.update(parted="parted", sfdisk="fdisk", losetup="mount")


def _before_map(self: Any, event: Any) -> None:
    """Attach each partition to a loop device.

    :raises PartitionError: a partition of the map is not in the table
    """
    from bootstrapvz.base.fs.exceptions import PartitionError

    volume = event.volume
    try:
        geometry = _geometry(volume.device_path)
        for partition in self.partitions:
            number = partition.get_index()
            if number not in geometry:
                raise PartitionError(f"partition {number} is not in the partition table")
            device = _attach(volume, *geometry[number])
            partition.map(str(_make_node(f"{_run(volume)}-{number}", device)))
    except BaseException:
        for partition in self.partitions:
            if partition.fsm.can("unmap"):
                partition.unmap()
        _detach(volume)
        raise


def _before_unmap(self: Any, event: Any) -> None:
    """Detach what was attached.

    :raises PartitionError: a partition is still in use
    """
    from bootstrapvz.base.fs.exceptions import PartitionError

    for partition in self.partitions:
        if partition.fsm.cannot("unmap"):
            raise PartitionError(f"partition {partition.get_index()} prevents the unmap procedure")
    for partition in self.partitions:
        partition.unmap()
    _detach(event.volume)


def _detach(volume: Any) -> None:
    """Detach the partitions, told by what they are attached to: also one just begun."""
    from bootstrapvz.common.tools import log_check_call

    query = ["losetup", "--list", "--noheadings", "--output", "NAME"]
    for device in log_check_call([*query, "--associated", _below(volume)]):
        if device != volume.device_path:
            log_check_call(["losetup", "--detach", device])
    clean_up(_run(volume))


def _geometry(device: str) -> dict[int, tuple[int, int]]:
    """Where the partitions of ``device`` are by their numbers: first byte, size in bytes."""
    from bootstrapvz.common.tools import log_check_call

    said = "\n".join(log_check_call(["sfdisk", "--json", device]))
    table = json.loads(said)["partitiontable"]
    sector = table.get("sectorsize", SECTOR)
    found = {}
    for entry in table.get("partitions", []):
        match = re.search(r"(\d+)$", entry["node"].removeprefix(table["device"]))
        assert match
        found[int(match[1])] = entry["start"] * sector, entry["size"] * sector
    return found


def _attach(volume: Any, start: int, size: int) -> str:
    """A loop device on a part of the volume."""
    from bootstrapvz.common.tools import log_check_call

    options = ["--offset", str(start), "--sizelimit", str(size)]
    [device] = log_check_call(["losetup", "--find", "--show", *options, _below(volume)])
    return str(device)


def _below(volume: Any) -> str:
    """What the partitions are attached to: a loop on a loop confuses GRUB."""
    raw = re.fullmatch(r"/dev/loop\d+", volume.device_path)
    return str(volume.image_path if raw else volume.device_path)


def _make_node(name: str, device: str) -> Path:
    NODES.mkdir(exist_ok=True)
    node = NODES / name
    status = os.stat(device)
    os.mknod(node, status.st_mode, status.st_rdev)
    return node


def _link_uuid(self: Any) -> None:
    """GRUB names the root by its UUID only where it finds this link.

    Upstream's fails where there is no such folder, and its counterpart never removed the link.
    """
    link = LINKS / self.get_uuid()
    if not os.path.lexists(link):
        LINKS.mkdir(parents=True, exist_ok=True)
        link.symlink_to(self.device_path)
        self.disk_by_uuid_path = str(link)


def _unlink_uuid(self: Any) -> None:
    if self.disk_by_uuid_path:
        Path(self.disk_by_uuid_path).unlink(missing_ok=True)
    self.disk_by_uuid_path = None


def _install_grub(cls: Any, info: Any) -> None:
    """Install GRUB 2 and its configuration, and look at that: the programs' exit codes lie.

    Where the partition is a loop device of its own, GRUB takes it for a disk without partitions
    and leaves the module out that finds it.

    :raises TaskError: the machine would not boot with this configuration
    """
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
    text = path.read_text(errors="replace") if path.exists() else ""
    wanted = f"root=UUID={partition_map.root.get_uuid()}"
    if wanted not in text:
        raise TaskError(f"boot/grub/grub.cfg does not boot {wanted}: see what update-grub said")
    for unwanted in ("loopback ", "/dev/loop", str(NODES), "/dev/mapper", str(info.workspace)):
        if unwanted in text:
            raise TaskError(f"boot/grub/grub.cfg speaks of {unwanted.strip()} of this host")
