"""Filesystems that were not unmounted: the guest was copied while running, or is suspended.

The memory of such a guest may hold changes to every filesystem of the image that no superblock
shows.
"""

from __future__ import annotations

from collections.abc import Callable

from .fields import u16, u32, u64
from .suspect import Suspect

NEEDS_RECOVERY = "its log has to be replayed"
IN_USE = "it was not unmounted"


def needs_recovery(suspect: Suspect) -> str:
    """Return why the filesystem needs recovery; ``""`` if it does not, or is not supported here.

    The log of XFS needs a reader, whose result is in :attr:`Suspect.dirty`.
    """
    if suspect.dirty:
        return suspect.dirty
    checks = [_CHECKS[suspect.kind]] if suspect.kind in _CHECKS else []
    if not suspect.kind or is_member(suspect.kind):  # there may be one beside other signatures
        checks = list(dict.fromkeys(_CHECKS.values()))
    return next(filter(None, (check(suspect) for check in checks)), "")


def is_member(kind: str) -> bool:
    """Return True for blkid's types of array members."""
    return kind == "drbd" or kind.endswith(("_raid_member", "_raid"))


def _ext(suspect: Suspect) -> str:
    """Linux, fs/ext4/ext4.h: s_feature_incompat EXT4_FEATURE_INCOMPAT_RECOVER, s_state VALID_FS.

    Without a journal the kernel clears EXT4_VALID_FS while the filesystem is mounted.
    """
    raw = suspect.read(1024, 1024)
    if raw[0x38:0x3A] != b"\x53\xef":
        return ""
    if u32(raw, 0x60) & 0x4:
        return NEEDS_RECOVERY
    return "" if u16(raw, 0x3A) & 1 else IN_USE


def _btrfs(suspect: Suspect) -> str:
    """Linux, btrfs_tree.h, ``struct btrfs_super_block``: log_root."""
    raw = suspect.read(0x10000, 4096)
    return NEEDS_RECOVERY if raw[0x40:0x48] == b"_BHRfS_M" and any(raw[0x60:0x68]) else ""


def _fat(suspect: Suspect) -> str:
    """Linux, fs/fat/inode.c, FAT_STATE_DIRTY; fatgen103, FAT[1] ClnShutBitMask.

    The kernel's bit is bit 0 of BS_Reserved1. FAT12 has no clean-shutdown bit.
    """
    raw = suspect.read(0, 512)
    sector, per_cluster, reserved = u16(raw, 11), raw[13:14], u16(raw, 14)
    if raw[510:] != b"\x55\xaa" or not sector or not any(per_cluster) or raw[21] < 0xF0:
        return ""  # raw[21]: BPB_Media
    roots, fat_16 = u16(raw, 17), u16(raw, 22)
    fat_size = fat_16 or u32(raw, 36)
    sectors = u16(raw, 19) or u32(raw, 32)
    first = reserved + raw[16] * fat_size + -(-roots * 32 // sector)
    clusters = (sectors - first) // per_cluster[0]
    if raw[37 if fat_16 else 65] & 1:
        return IN_USE
    second = suspect.read(reserved * sector, 8)
    if clusters < 4085 or not second:
        return ""
    clean = u16(second, 2) & 0x8000 if fat_16 else u32(second, 4) & 0x08000000
    return "" if clean else IN_USE


def _exfat(suspect: Suspect) -> str:
    """Microsoft, "exFAT file system specification": VolumeFlags, VolumeDirty."""
    raw = suspect.read(0, 512)
    return IN_USE if raw[3:11] == b"EXFAT   " and raw[106] & 2 else ""


def _f2fs(suspect: Suspect) -> str:
    """Linux, f2fs_fs.h, ``struct f2fs_checkpoint``: ckpt_flags CP_UMOUNT_FLAG of the newer pack."""
    raw = suspect.read(1024, 1024)
    if u32(raw, 0) != 0xF2F52010 or u32(raw, 16) > 16 or u32(raw, 20) > 16:
        return ""
    first, log_size = u32(raw, 76), u32(raw, 16)  # cp_blkaddr
    packs = (first, first + (1 << u32(raw, 20)))  # log_blocks_per_seg
    found = [suspect.read(pack << log_size, 4096) for pack in packs]
    newest = max(found, key=lambda pack: u64(pack, 0))  # checkpoint_ver
    return "" if u32(newest, 132) & 1 else IN_USE


def _jfs(suspect: Suspect) -> str:
    """Linux, fs/jfs/jfs_superblock.h, ``struct jfs_superblock``: s_state, FM_CLEAN is 0."""
    raw = suspect.read(32768, 64)
    return IN_USE if raw[:4] == b"JFS1" and u32(raw, 40) else ""


def _reiserfs(suspect: Suspect) -> str:
    """Linux, fs/reiserfs/reiserfs.h, ``struct reiserfs_super_block_v1``: s_umount_state.

    REISERFS_VALID_FS is 1.
    """
    for place in (65536, 8192):
        raw = suspect.read(place, 64)
        if raw[52:57] == b"ReIsE":
            return "" if u16(raw, 50) == 1 else IN_USE
    return ""


def _nilfs2(suspect: Suspect) -> str:
    """Linux, nilfs2_ondisk.h, ``struct nilfs_super_block``: s_state, NILFS_VALID_FS is 1."""
    raw = suspect.read(1024, 256)
    return IN_USE if u16(raw, 6) == 0x3434 and not u16(raw, 116) & 1 else ""


def _hfsplus(suspect: Suspect) -> str:
    """Linux, fs/hfsplus/hfsplus_raw.h, ``struct hfsplus_vh``: attributes HFSPLUS_VOL_UNMNT."""
    raw = suspect.read(1024, 512)
    mounted = raw[:2] in (b"H+", b"HX") and not int.from_bytes(raw[4:8], "big") & 0x100
    return IN_USE if mounted else ""


def _ntfs(suspect: Suspect) -> str:
    """Linux, fs/ntfs3/ntfs.h: file record 3 ($Volume), ATTR_VOL_INFO, VOLUME_FLAG_DIRTY."""
    boot = suspect.read(0, 512)
    if boot[3:7] != b"NTFS":
        return ""
    sector, per_cluster, record = u16(boot, 11), boot[13], boot[64]
    cluster = sector * (per_cluster if per_cluster <= 128 else 1 << (256 - per_cluster))
    size = 1 << (256 - record) if record > 127 else record * cluster
    raw = suspect.read(u64(boot, 48) * cluster + 3 * size, size) if size <= 65536 else b""
    if raw[:4] != b"FILE":
        return ""
    place = u16(raw, 20)
    while place + 24 <= len(raw) and u32(raw, place) != 0xFFFFFFFF:
        if u32(raw, place) == 0x70:  # $VOLUME_INFORMATION, always resident
            value = place + u16(raw, place + 20)
            return IN_USE if u16(raw, value + 10) & 1 else ""
        place += max(u32(raw, place + 4), 8)
    return ""


_CHECKS: dict[str, Callable[[Suspect], str]] = {
    "ext2": _ext,
    "ext3": _ext,
    "ext4": _ext,
    "btrfs": _btrfs,
    "vfat": _fat,
    "exfat": _exfat,
    "f2fs": _f2fs,
    "jfs": _jfs,
    "reiserfs": _reiserfs,
    "nilfs2": _nilfs2,
    "hfsplus": _hfsplus,
    "ntfs": _ntfs,
}
