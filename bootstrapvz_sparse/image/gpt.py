"""GUID partition tables, of disks with sectors of 512 and of 4096 bytes.

On-disk format and names: UEFI Specification, chapter 5.3, "GUID Partition Table (GPT) Disk Layout".
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from ..util.errors import SparseError
from .view import Map

SIGNATURE = b"EFI PART"
SECTOR_SIZES = (512, 4096)
# Signature, Revision, HeaderSize, HeaderCRC32, Reserved, MyLBA, AlternateLBA, FirstUsableLBA,
# LastUsableLBA, DiskGUID, PartitionEntryLBA, NumberOfPartitionEntries, SizeOfPartitionEntry,
# PartitionEntryArrayCRC32
HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
# PartitionTypeGUID, UniquePartitionGUID, StartingLBA, EndingLBA, Attributes, PartitionName
ENTRY = struct.Struct("<16s16sQQQ72s")
MAX_ENTRIES_SIZE = 1 << 20  # bytes; sfdisk writes 16 KiB
MBR_ENTRY = struct.Struct("<8xII")  # the first and the count of the sectors
PROTECTIVE = 0xEE


class UntrustedTable(SparseError):
    """The partition table cannot be trusted; the text says why."""


class GptPartition(NamedTuple):
    """An entry in use, from the byte ``start`` up to ``end``; numbers begin with 1."""

    number: int
    start: int
    end: int
    type_code: str
    name: str


class GptTable(NamedTuple):
    """A table with at least one good copy that the other does not contradict.

    ``reserved`` are the byte ranges outside the usable sectors, including both copies.
    """

    sector: int
    partitions: tuple[GptPartition, ...]
    reserved: tuple[tuple[int, int], ...]


class _Header(NamedTuple):
    alternate: int
    first_usable: int
    last_usable: int
    disk: bytes
    entries_at: int
    entry_size: int
    entries: bytes


def sector_size(where: Map) -> int:
    """Return the sector size of the disk's GPT in bytes, 0 if there is no GPT.

    The header lies in the second sector.

    :raises UntrustedTable: there are headers for both sizes
    :raises OSError: the image cannot be read
    """
    sizes = [
        size for size in SECTOR_SIZES if where.size >= 2 * size and where.read(size, 8) == SIGNATURE
    ]
    if len(sizes) > 1:
        raise UntrustedTable("two GPTs, for sectors of 512 and of 4096 bytes")
    return sizes[0] if sizes else 0


def read_gpt(where: Map) -> GptTable:
    """Read both copies of the GPT.

    :raises UntrustedTable: no copy is good, or the copies or the MBR do not agree
    :raises OSError: the image cannot be read
    """
    sector = sector_size(where)
    if not sector:
        raise UntrustedTable("the primary GPT is missing")
    primary, backup, backup_at = _copies(where, sector)
    _verify_layout(primary, backup, backup_at, sector)
    partitions = _partitions(primary, sector)
    _verify_mbr(where, partitions, sector)
    usable = primary.first_usable * sector, (primary.last_usable + 1) * sector
    return GptTable(sector, partitions, ((0, usable[0]), (usable[1], where.size)))


def _copies(where: Map, sector: int) -> tuple[_Header, _Header, int]:
    """Return both headers, and the sector of the backup; one damaged copy is replaced by the other.

    :raises UntrustedTable: both are damaged, they differ, or the image is cut off
    """
    backup_at = where.size // sector - 1
    try:
        primary = _header(where, sector, 1, "primary")
    except UntrustedTable as damage:
        if not where.read(sector, 8) == SIGNATURE:
            raise
        try:
            backup = _header(where, sector, backup_at, "backup")
        except UntrustedTable:
            raise damage from None
        return backup._replace(entries_at=2), backup, backup_at
    backup_at = primary.alternate
    if (backup_at + 1) * sector > where.size:
        raise UntrustedTable(
            "the backup GPT is missing: the image was cut off"
            f" ({where.size} bytes of {(backup_at + 1) * sector})"
        )
    try:
        backup = _header(where, sector, backup_at, "backup")
    except UntrustedTable:  # the kernel reads only the primary copy
        entries = -(-len(primary.entries) // sector)
        return primary, primary._replace(entries_at=backup_at - entries), backup_at
    if backup.alternate != 1 or not _agree(primary, backup):
        raise UntrustedTable("the primary and the backup GPT differ")
    return primary, backup, backup_at


def _header(where: Map, sector: int, lba: int, copy: str) -> _Header:
    raw = where.read(lba * sector, sector)
    fields = HEADER.unpack_from(raw)
    signature, revision, size, crc, reserved, my_lba, alternate = fields[:7]
    first_usable, last_usable, disk, entries_at, count, entry_size, entries_crc = fields[7:]
    if signature != SIGNATURE:
        raise UntrustedTable(f"the {copy} GPT is missing")
    if not HEADER.size <= size <= sector:
        raise UntrustedTable(f"the {copy} GPT is damaged: a header of {size} bytes")
    if zlib.crc32(raw[:16] + bytes(4) + raw[20:size]) != crc:
        raise UntrustedTable(f"the {copy} GPT is damaged: wrong checksum of the header")
    if revision != 0x00010000 or reserved or my_lba != lba:
        raise UntrustedTable(f"the {copy} GPT is damaged: an unknown or misplaced header")
    length = count * entry_size
    if entry_size < ENTRY.size or entry_size % 8 or length > MAX_ENTRIES_SIZE:
        raise UntrustedTable(f"the {copy} GPT is damaged: {count} entries of {entry_size} bytes")
    if entries_at * sector + length > where.size:
        raise UntrustedTable(f"the {copy} GPT is damaged: its entries lie outside the image")
    entries = where.read(entries_at * sector, length)
    if zlib.crc32(entries) != entries_crc:
        raise UntrustedTable(f"the {copy} GPT is damaged: wrong checksum of the entries")
    return _Header(alternate, first_usable, last_usable, disk, entries_at, entry_size, entries)


def _agree(first: _Header, second: _Header) -> bool:
    return first == second._replace(alternate=first.alternate, entries_at=first.entries_at)


def _verify_layout(primary: _Header, backup: _Header, backup_at: int, sector: int) -> None:
    """Refuse copies that overlap the usable sectors."""
    entries = -(-len(primary.entries) // sector)
    if not (
        primary.entries_at >= 2
        and primary.entries_at + entries <= primary.first_usable
        and primary.first_usable <= primary.last_usable + 1
        and primary.last_usable < backup.entries_at
        and backup.entries_at + entries <= backup_at
    ):
        raise UntrustedTable("the GPT overlaps its usable sectors")


def _partitions(header: _Header, sector: int) -> tuple[GptPartition, ...]:
    found = []
    for index in range(len(header.entries) // header.entry_size):
        fields = ENTRY.unpack_from(header.entries, index * header.entry_size)
        type_guid, _, first, last, _, name = fields
        if not any(type_guid):
            if first:
                raise UntrustedTable(f"partition {index + 1} has a start but no type")
            continue
        if not header.first_usable <= first <= last <= header.last_usable:
            raise UntrustedTable(f"partition {index + 1} lies outside the usable sectors")
        text = name.decode("utf-16-le", errors="replace").partition("\0")[0]
        code = _guid_text(type_guid)
        found.append(GptPartition(index + 1, first * sector, (last + 1) * sector, code, text))
    return tuple(found)


def _guid_text(raw: bytes) -> str:
    """Return a GUID as text; its first three fields are little-endian."""
    low, middle, high = struct.unpack("<IHH", raw[:8])
    return f"{low:08X}-{middle:04X}-{high:04X}-{raw[8:10].hex()}-{raw[10:].hex()}".upper()


def _verify_mbr(where: Map, partitions: tuple[GptPartition, ...], sector: int) -> None:
    """Refuse an MBR that is not protective, or that has partitions of its own (hybrid)."""
    raw = where.read(0, 512)
    if raw[510:] != b"\x55\xaa":
        raise UntrustedTable("the protective MBR is missing")
    places = {(p.start, p.end) for p in partitions}
    protective = False
    for offset in range(446, 510, 16):
        kind = raw[offset + 4]
        first, count = MBR_ENTRY.unpack_from(raw, offset)
        if kind == PROTECTIVE:
            protective = protective or first == 1
        elif kind and (first * sector, (first + count) * sector) not in places:
            raise UntrustedTable("the MBR has a partition that is not in the GPT")
    if not protective:
        raise UntrustedTable("the protective MBR is missing")
