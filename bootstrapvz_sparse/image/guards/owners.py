"""Signatures that contradict the filesystem at the start of a partition.

Each function returns the reason why no block in the partition counts as free, or ``""``.
"""

from __future__ import annotations

from .disk import Disk
from .ends import filesystem_end
from .fields import u32
from .recovery import is_member
from .suspect import Suspect

MD_MAGIC = 0xA92B4EFC
BCACHE_MAGIC = bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81")
BCACHEFS_MAGIC = bytes.fromhex("c68573f666ce90a9d96a60cf803df7ef")
DRBD_MAGICS = tuple(bytes.fromhex(f"837402{version}") for version in ("6b", "6c", "6d"))
DRBD_INDEX = 128 << 20  # bytes of metadata for each device, if stored on a separate device


def contradiction(disk: Disk, suspect: Suspect) -> str:
    """Report several signatures, and a partition table in a partition, as blkid(8) found them."""
    if suspect.ambivalent:
        return "several filesystems claim it"
    if suspect.number and suspect.table:
        return f"a partition table of type {suspect.table} lies in it"
    return ""


def array_member(disk: Disk, suspect: Suspect) -> str:
    """Report a member of an array: its superblock may lie at either end.

    libblkid skips partitions of up to 1,440 KiB, and superblocks with a wrong checksum.

    Source: md(4), "MD SUPER BLOCK"; Linux, md_p.h: ``MD_SB_MAGIC`` in either byte order, 64 KiB to
    128 KiB before the end (0.90), 8 KiB before it (1.0), at 0 (1.1), at 4 KiB (1.2).
    """
    if suspect.kind != "drbd" and is_member(suspect.kind):
        return f"it is a member of an array ({suspect.kind})"
    size = suspect.where.size
    for place in ((size & ~0xFFFF) - 0x10000, (size & ~0xFFF) - 0x2000, 0, 0x1000):
        raw = suspect.read(place, 4)
        if MD_MAGIC in (u32(raw, 0), int.from_bytes(raw, "big")):
            return "it is a member of an array (linux_raid_member)"
    return ""


def replicated(disk: Disk, suspect: Suspect) -> str:
    """Report internal DRBD metadata at the end, even of a tiny partition.

    Source: drbd-utils, user/shared/drbdmeta.c, ``struct md_on_disk_08`` and
    ``struct meta_data_on_disk_9``: magic at byte 60 of the last 4 KiB block.
    """
    if suspect.kind == "drbd" or has_drbd(suspect, (suspect.where.size & ~0xFFF) - 4096):
        return "it is replicated by DRBD"
    return ""


def has_drbd(suspect: Suspect, offset: int) -> bool:
    """Return True if DRBD's metadata superblock lies at ``offset``."""
    return suspect.read(offset + 60, 4) in DRBD_MAGICS


def unknown_to_blkid(disk: Disk, suspect: Suspect) -> str:
    """Report superblocks that only a newer libblkid than Debian 12's knows."""
    kind = _unknown_kind(suspect)
    return f"it has a superblock of {kind}, too" if kind and kind != suspect.kind else ""


def unknown_below_table(disk: Disk) -> str:
    """Report such a superblock of the whole disk, beside a partition table."""
    kind = _unknown_kind(Suspect(0, disk.image))
    if kind and kind != disk.signature.type and any(suspect.number for suspect in disk.suspects):
        return f"a partition table and {kind} both claim the whole image"
    return ""


def _unknown_kind(suspect: Suspect) -> str:
    """Return the type of a superblock that Debian 12's libblkid does not know.

    Source: util-linux, libblkid/src/superblocks: bcache.c, cs_fvault2.c, scoutfs.c.
    """
    magics = (
        (4096 + 24, BCACHE_MAGIC, "bcache"),
        (4096 + 24, BCACHEFS_MAGIC, "bcachefs"),
        (65536 + 4, b"\x8b\x42\x3c\x10", "scoutfs"),
        (65536 + 4, b"\x10\x3c\x42\x8b", "scoutfs"),
    )
    for offset, magic, kind in magics:
        if suspect.read(offset, len(magic)) == magic:
            return kind
    raw = suspect.read(0, 100)  # Core Storage (FileVault 2): version 1, block_type 0x10, magic
    return "cs_fvault2" if raw[8:12] == b"\1\0\x10\0" and raw[88:90] == b"CS" else ""


def behind_filesystem(disk: Disk, suspect: Suspect) -> str:
    """Report non-zero bytes behind the end of the filesystem: they belong to another user.

    :raises OSError: the image cannot be read
    """
    if filesystem_end(suspect) and any(disk.chunks(disk.unclaimed(suspect))):
        return "bytes behind the filesystem's end are in use"
    return ""
