"""Read the partition table of an image, and judge how far it can be trusted.

A GPT is read by :mod:`.gpt`, an msdos table by sfdisk(8).
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..util import programs
from ..util.errors import ProgramFailed, ProgramMissing
from .blkid import Signature, signature
from .gpt import UntrustedTable, read_gpt
from .view import FileMap

SECTOR = 512
GPT = {"gpt", "PMBR"}  # in the words of blkid
EXTENDED = {"5", "f", "85"}
PROTECTIVE = "ee"
MAX_PRIMARY = 4  # in an MBR; the numbers of logical partitions come next
BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"  # in a GPT
MAX_LOGICAL = 256  # a chain that refers to itself would have no end


class Partition(NamedTuple):
    """A partition between two bytes of the image; number 0 is an image without a table.

    ``filesystem`` is the type that blkid(8) reports, "" if it knows none. ``type_code`` is the
    GUID of its type in a GPT, or the type byte of an MBR in hexadecimal. ``skip_reason`` says why
    nothing in it may count as free. ``boot_code``: GRUB's own partition, without a filesystem.
    """

    number: int
    start: int
    end: int
    name: str = ""
    filesystem: str = ""
    skip_reason: str = ""
    boot_code: bool = False
    type_code: str = ""
    table: str = ""

    def __str__(self) -> str:
        return f"partition {self.number}" if self.number else "the filesystem"


class Table(NamedTuple):
    """The partition table of an image.

    ``label`` is ``dos``, ``gpt``, ``none`` (one filesystem fills the image) or ``unknown``, and
    ``skip_reason`` says why it is unknown. ``signature``: of the whole image.
    """

    label: str
    partitions: tuple[Partition, ...] = ()
    skip_reason: str = ""
    signature: Signature = Signature()


def read(fd: int, size: int) -> Table:
    """Return the table of the image of ``size`` bytes.

    Extended partitions are not listed: their logical partitions are.

    :raises OSError: the image cannot be read
    """
    try:
        whole = signature(fd, 0, size)
        return _read(fd, size, whole)._replace(signature=whole)
    except (ProgramMissing, ProgramFailed) as reason:
        return Table("unknown", skip_reason=str(reason))


def _read(fd: int, size: int, whole: Signature) -> Table:
    if whole.error:
        return Table("unknown", skip_reason=whole.error)
    if whole.ambivalent:
        return Table("unknown", skip_reason="several filesystems or tables claim the image")
    if not whole.table:
        return Table("none", (Partition(0, 0, size, filesystem=whole.type),))
    if whole.table in GPT:
        return _gpt(fd, size)
    if whole.table == "dos":
        return _dos(fd, size)
    return Table("unknown", skip_reason=f"a partition table of type {whole.table}")


def _gpt(fd: int, size: int) -> Table:
    try:
        gpt = read_gpt(FileMap(fd, size))
    except UntrustedTable as reason:
        return Table("unknown", skip_reason=str(reason))
    partitions = [
        Partition(
            entry.number,
            entry.start,
            entry.end,
            name=entry.name,
            boot_code=entry.type_code == BIOS_BOOT,
            type_code=entry.type_code,
        )
        for entry in gpt.partitions
    ]
    return _table("gpt", fd, size, partitions, list(gpt.reserved), [])


def _dos(fd: int, size: int) -> Table:
    listed = programs.run("sfdisk", "--json", programs.same_file(fd), fds=[fd], check=False)
    if listed.returncode:
        return Table("unknown", skip_reason=f"sfdisk: {programs.last_line(listed.stderr)}")
    try:
        table = json.loads(listed.stdout)["partitiontable"]
    except ValueError:  # a remark comes before it: on a logical partition of no size, say
        return Table("unknown", skip_reason=f"sfdisk: {programs.first_line(listed.stdout)}")
    if listed.stderr.strip():  # such as what it ignores of a logical partition
        return Table("unknown", skip_reason=f"sfdisk: {programs.first_line(listed.stderr)}")
    entries = table.get("partitions", [])
    # sfdisk leaves out a start that it cannot read
    damaged = any(entry["type"] == PROTECTIVE or "start" not in entry for entry in entries)
    if table["label"] != "dos" or damaged:
        return Table("unknown", skip_reason="the partition table is damaged")
    extended = [_bytes(entry) for entry in entries if entry["type"] in EXTENDED]
    device = table["device"]
    partitions = [_partition(e, device) for e in entries if e["type"] not in EXTENDED]
    records = list(_extended_boot_records(fd, entries))
    logical = [partition for partition in partitions if partition.number > MAX_PRIMARY]
    astray = [partition for partition in logical if not _inside(partition, extended)]
    # the kernel and other programs would find other partitions there
    if astray or (extended and len(records) != max(len(logical), 1)):
        return Table("unknown", skip_reason="the chain of logical partitions is damaged")
    return _table("dos", fd, size, partitions, [(0, SECTOR), *records], extended)


def _table(
    label: str,
    fd: int,
    size: int,
    partitions: list[Partition],
    reserved: list[tuple[int, int]],
    extended: list[tuple[int, int]],
) -> Table:
    """Return the table, with each partition judged by its place and examined."""
    if not partitions and not extended:
        return Table("unknown", skip_reason="the partition table is empty")
    placed = [_placed(each, partitions, reserved, extended, size) for each in partitions]
    return Table(label, tuple(_examined(fd, partition) for partition in placed))


def _examined(fd: int, partition: Partition) -> Partition:
    """Return the partition with the signatures found in it."""
    if partition.skip_reason:
        return partition
    inside = signature(fd, partition.start, partition.end)
    skip_reason = inside.error
    if inside.ambivalent:
        skip_reason = "several filesystems claim it"
    elif inside.table:
        skip_reason = f"a partition table of type {inside.table} lies in it"
    return partition._replace(filesystem=inside.type, skip_reason=skip_reason, table=inside.table)


def _bytes(entry: dict[str, Any]) -> tuple[int, int]:
    return entry["start"] * SECTOR, (entry["start"] + entry["size"]) * SECTOR


def _partition(entry: dict[str, Any], device: str) -> Partition:
    start, end = _bytes(entry)
    number = int(entry["node"].removeprefix(device).lstrip("p"))
    return Partition(number, start, end, type_code=entry["type"])


def _inside(partition: Partition, ranges: list[tuple[int, int]]) -> bool:
    return any(start <= partition.start and partition.end <= end for start, end in ranges)


def _placed(
    partition: Partition,
    partitions: list[Partition],
    reserved: list[tuple[int, int]],
    extended: list[tuple[int, int]],
    size: int,
) -> Partition:
    """Return the partition with the reason why its place cannot be trusted, if there is one."""

    def meets(start: int, end: int) -> bool:
        return partition.start < end and start < partition.end

    logical = bool(extended) and partition.number > MAX_PRIMARY
    skip_reason = ""
    if partition.end > size:
        skip_reason = "it ends beyond the image"
    elif partition.start >= partition.end:
        skip_reason = "it is empty"
    elif any(meets(start, end) for start, end in reserved):
        skip_reason = "it overlaps the partition table"
    elif any(p is not partition and meets(p.start, p.end) for p in partitions):
        skip_reason = "it overlaps another partition"
    elif not logical and any(meets(start, end) for start, end in extended):
        skip_reason = "it overlaps the extended partition"
    return partition._replace(skip_reason=skip_reason)


def _extended_boot_records(fd: int, entries: list[dict[str, Any]]) -> Iterator[tuple[int, int]]:
    """Yield the sectors with the chain of logical partitions, which sfdisk does not list."""
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
