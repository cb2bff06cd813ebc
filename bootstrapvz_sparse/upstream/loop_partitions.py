"""Partitions mapped by loop devices where the kernel has no device-mapper.

Each partition is attached to a loop device. The repairs implement the interface of bootstrap-vz's
partition maps, so tasks need not be changed. They do not depend on the translation and also work
with a maintained bootstrap-vz. The mapper is chosen when partitions are mapped, since
``--partition-mapper`` is an option of the build.
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

from .registry import repair

MAPPERS = ("auto", "kpartx", "loop")
SECTOR = 512  # bytes

# update-grub treats /dev/loop[0-9] specially, so each loop device gets a second node; it is named
# by the run of its build, which identifies it after the build was killed
NODES = Path("/dev/bvz-sparse")
LINKS = Path("/dev/disk/by-uuid")
MAPPED = Path("/dev/mapper")  # by kpartx

CONTROL = Path("/dev/mapper/control")  # Documentation/admin-guide/device-mapper of the kernel

_mapper: str | None = None  # in use; chosen on first use unless select() was called


def select(mapper: str = "auto") -> str:
    """Choose the mapper of the partitions, one of ``MAPPERS``; return the one in use."""
    global _mapper
    if mapper == "auto":
        mapper = "kpartx" if _has_device_mapper() else "loop"
    _mapper = mapper
    return mapper


def selected() -> str:
    """Return the mapper in use, ``kpartx`` or ``loop``."""
    return _mapper or select()


def _has_device_mapper() -> bool:
    """Return whether device-mapper works; opening its device loads the driver."""
    if not shutil.which("kpartx"):
        return False
    try:
        os.close(os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


@repair("bootstrapvz.base.fs.partitionmaps.abstract", fork_too=True)
def map_by_loop_devices(module: Any) -> None:
    """Map partitions by loop devices: kpartx fails where the kernel has no device-mapper."""
    cls = module.AbstractPartitionMap
    by_kpartx, unmap_by_kpartx = cls._before_map, cls._before_unmap

    def before_map(self: Any, event: Any) -> None:
        (_map if selected() == "loop" else by_kpartx)(self, event)

    def before_unmap(self: Any, event: Any) -> None:
        (_unmap if selected() == "loop" else unmap_by_kpartx)(self, event)

    cls._before_map, cls._before_unmap = before_map, before_unmap


@repair("bootstrapvz.common.tasks.partitioning", fork_too=True)
def require_partition_programs(module: Any) -> None:
    """Require the programs of the mapper in use: kpartx was required without being run."""
    require_kpartx = module.AddRequiredCommands.run

    def run(cls: Any, info: Any) -> None:
        if selected() == "kpartx":
            require_kpartx(info)
        elif hasattr(info.volume.partition_map, "create"):  # missing if nothing is partitioned
            info.host_dependencies.update(parted="parted", sfdisk="fdisk", losetup="mount")

    module.AddRequiredCommands.run = classmethod(run)


def device_links(run: str, devices: Iterable[str] = ()) -> list[Path]:
    """Return the links and nodes in /dev of the build with the name ``run``.

    ``devices`` are the loop devices of its volume: kpartx names its mappings by them.
    """
    links = []
    targets = [f"{NODES}/{run}-", *(f"{MAPPED}/{Path(device).name}p" for device in devices)]
    for link in sorted(LINKS.glob("*")):
        with contextlib.suppress(OSError):  # not a link, or removed meanwhile
            if os.readlink(link).startswith(tuple(targets)):
                links.append(link)
    nodes = [node for node in sorted(NODES.glob("*")) if node.name.rpartition("-")[0] == run]
    return links + nodes


def delete_device_links(run: str, devices: Iterable[str] = ()) -> None:
    """Delete the :func:`device_links`, and their folder unless another build uses it."""
    for path in device_links(run, devices):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        NODES.rmdir()


def _run_name(volume: Any) -> str:
    """Return the name of the run, which bootstrap-vz gives to the folder of the volume."""
    return Path(volume.image_path).parent.name


def _map(self: Any, event: Any) -> None:
    """Attach each partition to a loop device.

    :raises PartitionError: a partition of the map is missing from the partition table
    """
    # bootstrap-vz must be imported after upstream.install()
    from bootstrapvz.base.fs.exceptions import PartitionError

    volume = event.volume
    try:
        geometry = _geometry(volume.device_path)
        for partition in self.partitions:
            number = partition.get_index()
            if number not in geometry:
                raise PartitionError(f"partition {number}: missing from the partition table")
            device = _attach(volume, *geometry[number])
            partition.map(str(_make_node(f"{_run_name(volume)}-{number}", device)))
    except BaseException:
        for partition in self.partitions:
            if partition.fsm.can("unmap"):
                partition.unmap()
        _detach(volume)
        raise


def _unmap(self: Any, event: Any) -> None:
    """Detach the loop devices of the partitions.

    :raises PartitionError: a partition is still in use
    """
    # bootstrap-vz must be imported after upstream.install()
    from bootstrapvz.base.fs.exceptions import PartitionError

    for partition in self.partitions:
        if partition.fsm.cannot("unmap"):
            raise PartitionError(f"partition {partition.get_index()}: still in use")
    for partition in self.partitions:
        partition.unmap()
    _detach(event.volume)


def _detach(volume: Any) -> None:
    """Detach every loop device on the volume's file, even if it was attached just now."""
    # bootstrap-vz must be imported after upstream.install()
    from bootstrapvz.common.tools import log_check_call

    query = ["losetup", "--list", "--noheadings", "--output", "NAME"]
    for device in log_check_call([*query, "--associated", _backing(volume)]):
        if device != volume.device_path:
            log_check_call(["losetup", "--detach", device])
    delete_device_links(_run_name(volume))


def _geometry(device: str) -> dict[int, tuple[int, int]]:
    """Read the partition table of ``device``: number to first byte and size in bytes."""
    # bootstrap-vz must be imported after upstream.install()
    from bootstrapvz.common.tools import log_check_call

    table = json.loads("\n".join(log_check_call(["sfdisk", "--json", device])))["partitiontable"]
    sector = table.get("sectorsize", SECTOR)
    geometry = {}
    for entry in table.get("partitions", []):
        match = re.search(r"(\d+)$", entry["node"].removeprefix(table["device"]))
        assert match
        geometry[int(match[1])] = entry["start"] * sector, entry["size"] * sector
    return geometry


def _attach(volume: Any, start: int, size: int) -> str:
    """Attach a loop device to ``size`` bytes of the volume from byte ``start``; return it."""
    # bootstrap-vz must be imported after upstream.install()
    from bootstrapvz.common.tools import log_check_call

    options = ["--offset", str(start), "--sizelimit", str(size)]
    [device] = log_check_call(["losetup", "--find", "--show", *options, _backing(volume)])
    return str(device)


def _backing(volume: Any) -> str:
    """Return the file under the volume's loop device, since a loop on a loop confuses GRUB.

    A volume that is not a loop device (nbd) is its own backing.
    """
    raw = re.fullmatch(r"/dev/loop\d+", volume.device_path)
    return str(volume.image_path if raw else volume.device_path)


def _make_node(name: str, device: str) -> Path:
    """Make a second node of ``device`` in ``NODES``."""
    node, status = NODES / name, os.stat(device)
    while True:
        NODES.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # another build removed the empty folder
            os.mknod(node, status.st_mode, status.st_rdev)
            return node
