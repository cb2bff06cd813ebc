"""The end of each filesystem by its own superblock. Bytes behind it belong to another user."""

from __future__ import annotations

import struct
from collections.abc import Callable

from .fields import u16, u32, u64
from .suspect import Suspect

PAGE = 4096


def filesystem_end(suspect: Suspect) -> int:
    """Return the first byte behind the filesystem, or 0 if its superblock does not give it.

    Only filesystems whose free space can be freed are supported.
    """
    end = _ENDS.get(suspect.kind)
    return end(suspect) if end else 0


def allocation_unit(suspect: Suspect) -> int:
    """Return the size unit of a filesystem in bytes: a shorter remainder stays unused.

    mke2fs(8) also rounds down to a page. Source: Linux, fs/ext4/ext4.h, s_log_cluster_size.
    """
    log_size = u32(suspect.read(1024, 1024), 0x1C) if suspect.kind.startswith("ext") else 0
    return max(1024 << log_size, PAGE) if log_size <= 20 else 0


def _ext(suspect: Suspect) -> int:
    """Linux, fs/ext4/ext4.h, ``struct ext4_super_block``: s_blocks_count, s_log_block_size."""
    raw = suspect.read(1024, 1024)
    if raw[0x38:0x3A] != b"\x53\xef":
        return 0
    (low,), (log_size,) = struct.unpack_from("<I", raw, 4), struct.unpack_from("<I", raw, 0x18)
    incompat, high = u32(raw, 0x60), u32(raw, 0x150)
    blocks = low | (high << 32 if incompat & 0x80 else 0)  # INCOMPAT_64BIT
    return blocks << (10 + log_size) if log_size <= 6 else 0


def _xfs(suspect: Suspect) -> int:
    """Linux, fs/xfs/libxfs/xfs_format.h, ``struct xfs_dsb``: sb_blocksize, sb_dblocks."""
    raw = suspect.read(0, 512)
    if raw[:4] != b"XFSB":
        return 0
    size, blocks = struct.unpack_from(">IQ", raw, 4)
    return int(size * blocks)


def _btrfs(suspect: Suspect) -> int:
    """Linux, btrfs_tree.h, ``struct btrfs_super_block``: dev_item.total_bytes."""
    raw = suspect.read(0x10000, 4096)
    return u64(raw, 0xD1) if raw[0x40:0x48] == b"_BHRfS_M" else 0


def _fat(suspect: Suspect) -> int:
    """Microsoft, fatgen103: BPB_BytsPerSec, BPB_TotSec16, BPB_TotSec32."""
    raw = suspect.read(0, 512)
    if raw[510:] != b"\x55\xaa":
        return 0
    sector, sectors = u16(raw, 11), u16(raw, 19)
    return sector * (sectors or u32(raw, 32))


def _exfat(suspect: Suspect) -> int:
    """Microsoft, "exFAT file system specification": VolumeLength, BytesPerSectorShift."""
    raw = suspect.read(0, 512)
    shift = raw[108] if raw[3:11] == b"EXFAT   " else 64
    return u64(raw, 72) << shift if shift <= 12 else 0


def _f2fs(suspect: Suspect) -> int:
    """Linux, f2fs_fs.h, ``struct f2fs_super_block``: log_blocksize, block_count."""
    raw = suspect.read(1024, 1024)
    if u32(raw, 0) != 0xF2F52010 or u32(raw, 16) > 16:
        return 0
    return u64(raw, 36) << u32(raw, 16)


def _swap(suspect: Suspect) -> int:
    """Linux, include/linux/swap.h, ``union swap_header``: info.last_page; the magic ends page 0."""
    for page in (4096, 8192, 16384, 32768, 65536):
        if suspect.read(page - 10, 10) == b"SWAPSPACE2":
            return (u32(suspect.read(1028, 4), 0) + 1) * page
    return 0


_ENDS: dict[str, Callable[[Suspect], int]] = {
    "ext2": _ext,
    "ext3": _ext,
    "ext4": _ext,
    "xfs": _xfs,
    "btrfs": _btrfs,
    "vfat": _fat,
    "exfat": _exfat,
    "f2fs": _f2fs,
    "swap": _swap,
}
