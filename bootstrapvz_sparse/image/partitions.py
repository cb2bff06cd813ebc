"""The partition table of an image, as sfdisk(8) reads it, and what of it can be believed."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..util import programs
from ..util.errors import ProgramMissing
from .blkid import signature

SECTOR = 512
READABLE = {"dos", "gpt", "PMBR"}  # in the words of blkid
EXTENDED = {"5", "f", "85"}
PROTECTIVE = "ee"
MAX_PRIMARY = 4  # in an MBR; the numbers of logical partitions come next
BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"  # in a GPT
MAX_LOGICAL = 256  # a chain that refers to itself would have no end


class Partition(NamedTuple):
    """A partition between two bytes of the image; number 0 is an image without a table.

    ``filesystem`` is the type that blkid(8) tells, ``""`` where it knows none. ``trouble`` says
    why nothing in it may count as free. ``boot_code``: GRUB's own place, without a filesystem.
    """

    number: int
    start: int
    end: int
    name: str = ""
    filesystem: str = ""
    trouble: str = ""
    boot_code: bool = False

    def __str__(self) -> str:
        return f"partition {self.number}" if self.number else "the filesystem"


class Table(NamedTuple):
    """``label`` is ``dos``, ``gpt``, ``none`` (one filesystem fills the image) or ``unknown``.

    ``trouble`` says why it is unknown.
    """

    label: str
    partitions: tuple[Partition, ...] = ()
    trouble: str = ""


def read(fd: int, size: int) -> Table:
    """The table of the image of ``size`` bytes. Extended partitions are not listed: their logical
    partitions are.

    :raises OSError: the image cannot be read
    """
    try:
        found = signature(fd, 0, size)
        if found.ambivalent:
            return Table("unknown", trouble="several filesystems or tables claim the image")
        if not found.table:
            return Table("none", (Partition(0, 0, size, filesystem=found.type),))
        if found.table not in READABLE:
            return Table("unknown", trouble=f"a partition table of type {found.table}")
        return _sfdisk(fd, size)
    except ProgramMissing as missing:
        return Table("unknown", trouble=str(missing))


def _sfdisk(fd: int, size: int) -> Table:
    import json  # takes its time, which images without a table need not spend

    done = programs.run("sfdisk", "--json", programs.same_file(fd), fds=[fd])
    if done.returncode:
        return Table("unknown", trouble=f"sfdisk: {programs.last_line(done.stderr)}")
    try:
        table = json.loads(done.stdout)["partitiontable"]
    except ValueError:  # a remark comes before it: on a logical partition of no size, say
        return Table("unknown", trouble=f"sfdisk: {programs.first_line(done.stdout)}")
    label, entries = table["label"], table.get("partitions", [])
    if label == "dos" and done.stderr.strip():  # such as what it ignores of a logical partition
        return Table("unknown", trouble=f"sfdisk: {programs.first_line(done.stderr)}")
    # sfdisk leaves out a start that is none
    damaged = any(entry["type"] == PROTECTIVE or "start" not in entry for entry in entries)
    if label not in ("dos", "gpt") or damaged:
        return Table("unknown", trouble="the partition table is damaged")
    if not entries:
        return Table("unknown", trouble="the partition table is empty")
    partitions = [
        _partition(entry, table["device"])
        for entry in entries
        if label == "gpt" or entry["type"] not in EXTENDED
    ]
    extended = [_bytes(e) for e in entries if label == "dos" and e["type"] in EXTENDED]
    if label == "gpt":
        reserved = [(0, table["firstlba"] * SECTOR), ((table["lastlba"] + 1) * SECTOR, size)]
    else:
        records = list(_extended_boot_records(fd, entries))
        logical = [p for p in partitions if p.number > MAX_PRIMARY]
        astray = [p for p in logical if not _inside(p, extended)]
        # the kernel and others would find others there
        if astray or (extended and len(records) != max(len(logical), 1)):
            return Table("unknown", trouble="the chain of logical partitions is damaged")
        reserved = [(0, SECTOR), *records]
    return Table(
        label,
        tuple(
            _examined(fd, _placed(partition, partitions, reserved, extended, size))
            for partition in partitions
        ),
    )


def _examined(fd: int, partition: Partition) -> Partition:
    """The partition, with what lies in it."""
    if partition.trouble:
        return partition
    found = signature(fd, partition.start, partition.end)
    trouble = ""
    if found.ambivalent:
        trouble = "several filesystems claim it"
    elif found.table:
        trouble = f"a partition table of type {found.table} lies in it"
    return partition._replace(filesystem=found.type, trouble=trouble)


def _bytes(entry: dict[str, Any]) -> tuple[int, int]:
    return entry["start"] * SECTOR, (entry["start"] + entry["size"]) * SECTOR


def _partition(entry: dict[str, Any], device: str) -> Partition:
    start, end = _bytes(entry)
    number = int(entry["node"].removeprefix(device).lstrip("p"))
    boot_code = entry["type"].upper() == BIOS_BOOT
    return Partition(number, start, end, name=entry.get("name", ""), boot_code=boot_code)


def _inside(partition: Partition, ranges: list[tuple[int, int]]) -> bool:
    return any(start <= partition.start and partition.end <= end for start, end in ranges)


def _placed(
    partition: Partition,
    partitions: list[Partition],
    reserved: list[tuple[int, int]],
    extended: list[tuple[int, int]],
    size: int,
) -> Partition:
    """The partition, with what is wrong about its place."""

    def meets(start: int, end: int) -> bool:
        return partition.start < end and start < partition.end

    logical = bool(extended) and partition.number > MAX_PRIMARY
    trouble = ""
    if partition.end > size:
        trouble = "it ends beyond the image"
    elif partition.start >= partition.end:
        trouble = "it is empty"
    elif any(meets(start, end) for start, end in reserved):
        trouble = "it overlaps the partition table"
    elif any(p is not partition and meets(p.start, p.end) for p in partitions):
        trouble = "it overlaps another partition"
    elif not logical and any(meets(start, end) for start, end in extended):
        trouble = "it overlaps the extended partition"
    return partition._replace(trouble=trouble)


def _extended_boot_records(fd: int, entries: list[dict[str, Any]]) -> Iterator[tuple[int, int]]:
    """The sectors that hold the chain of logical partitions, which sfdisk does not tell."""
    for entry in entries:
        if entry["type"] not in EXTENDED:
            continue
        first = sector = entry["start"]
        for _ in range(MAX_LOGICAL):
            yield sector * SECTOR, (sector + 1) * SECTOR
            raw = os.pread(fd, SECTOR, sector * SECTOR)
            if len(raw) < SECTOR or raw[510:] != b"\x55\xaa":
                break
            links = [raw[446 + 16 * i : 462 + 16 * i] for i in range(4)]
            places = [struct.unpack("<II", e[8:]) for e in links if e[4] in (5, 0xF, 0x85)]
            following = [start for start, count in places if count]  # as the kernel does
            if not following:
                break
            sector = first + following[0]
