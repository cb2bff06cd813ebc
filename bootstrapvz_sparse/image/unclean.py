"""Signs in a filesystem's own metadata that it is not clean, which its checker tolerates.

Each function takes the bytes of the filesystem and returns the reason, or None. Observed with
e2fsprogs 1.47, btrfs-progs 6.2, dosfstools 4.2 and exfatprogs 1.2, which report such a filesystem
as clean when run read-only.
"""

from __future__ import annotations

import struct

from .view import Map


def ext(where: Map) -> str | None:
    """Read the superblock. Source: struct ext2_super_block, ext2_fs.h of e2fsprogs."""
    raw = where.read(1024, 1024)
    blocks, log_block_size, magic, state = (
        struct.unpack_from(form, raw, offset)[0]
        for form, offset in (("<I", 4), ("<I", 0x18), ("<H", 0x38), ("<H", 0x3A))
    )
    incompat, ro_compat = struct.unpack_from("<II", raw, 0x60)
    last_orphan, blocks_high = (struct.unpack_from("<I", raw, at)[0] for at in (0xE8, 0x150))
    if magic != 0xEF53 or log_block_size > 6:  # EXT2_SUPER_MAGIC, EXT2_MAX_BLOCK_LOG_SIZE
        return "the superblock is damaged"
    if incompat & 0x4:  # EXT3_FEATURE_INCOMPAT_RECOVER
        return "its journal has to be replayed"
    if not state & 1:  # EXT2_VALID_FS
        return "it was not unmounted"
    if state & 2:  # EXT2_ERROR_FS
        return "the kernel found errors in it"
    if last_orphan or ro_compat & 0x10000:  # EXT4_FEATURE_RO_COMPAT_ORPHAN_PRESENT
        return "deleted files wait for the next mount"
    if incompat & 0x80:  # EXT4_FEATURE_INCOMPAT_64BIT
        blocks |= blocks_high << 32
    return "it ends beyond the partition" if blocks << 10 + log_block_size > where.size else None


def btrfs(where: Map) -> str | None:
    """Read the superblock. Source: struct btrfs_super_block, btrfs_tree.h."""
    raw = where.read(64 << 10, 4096)
    flags, log_root, devices = (struct.unpack_from("<Q", raw, at)[0] for at in (0x38, 0x60, 0x88))
    if raw[0x40:0x48] != b"_BHRfS_M":  # BTRFS_MAGIC
        return "the superblock is damaged"
    if flags & 1 << 2:  # BTRFS_SUPER_FLAG_ERROR
        return "the kernel found errors in it"
    if log_root:
        return "its log has to be replayed"
    return f"it has {devices} devices" if devices != 1 else None


def vfat(where: Map) -> str | None:
    """Read the boot sector and FAT[1]. Source: Microsoft, fatgen103."""
    raw = where.read(0, 512)
    sector, cluster, reserved, fats, root_entries, sectors, _, fat_size = struct.unpack_from(
        "<HBHBHHBH", raw, 11
    )
    sectors_32, fat_size_32, ext_flags = struct.unpack_from("<IIH", raw, 32)
    if raw[510:] != b"\x55\xaa" or not (sector and cluster and reserved and fats):
        return "the boot sector is damaged"
    is_fat32 = fat_size == 0
    if raw[65 if is_fat32 else 37] & 3:  # BS_Reserved1: FAT_STATE_DIRTY of Linux, and damage
        return "it was not unmounted"
    if is_fat32 and ext_flags & 0x80:  # BPB_ExtFlags bit 7
        return "only one of its FATs is in use"
    fat_sectors = (fat_size or fat_size_32) * fats
    root_sectors = -(-root_entries * 32 // sector)
    clusters = ((sectors or sectors_32) - reserved - fat_sectors - root_sectors) // cluster
    if not is_fat32 and clusters < 4085:  # FAT12 has no flags
        return None
    form, clean, no_error = ("<I", 1 << 27, 1 << 26) if is_fat32 else ("<H", 1 << 15, 1 << 14)
    first = reserved * sector
    size = struct.calcsize(form)
    (entry,) = struct.unpack(form, where.read(first + size, size))
    if not entry & clean:  # ClnShutBitMask
        return "it was not unmounted"
    return "a read or write of it failed" if not entry & no_error else None  # HrdErrBitMask


def exfat(where: Map) -> str | None:
    """Read the boot sector, and check that the bitmap does not mark a system file as free.

    Source: Microsoft, exFAT file system specification, sections 3.1, 4 and 7.
    """
    raw = where.read(0, 512)
    (flags,) = struct.unpack_from("<H", raw, 106)  # VolumeFlags
    # FileSystemName, BytesPerSectorShift, SectorsPerClusterShift
    if raw[3:11] != b"EXFAT   " or not 9 <= raw[108] <= 12 or raw[109] > 25 - raw[108]:
        return "the boot sector is damaged"
    if flags & 2:  # VolumeDirty
        return "it was not unmounted"
    if flags & 4:  # MediaFailure
        return "a read or write of it failed"
    if flags & 1 or raw[110] != 1:  # ActiveFat, NumberOfFats
        return "it has a second FAT"
    return None if _exfat_marks_its_own(where, raw) else "its bitmap is damaged"


def _exfat_marks_its_own(where: Map, boot: bytes) -> bool:
    """Return whether the bitmap marks the root directory, itself and Upcase as used."""
    # FatOffset, ClusterHeapOffset, ClusterCount, FirstClusterOfRootDirectory
    (fat,) = struct.unpack_from("<I", boot, 80)
    heap, count, root = struct.unpack_from("<3I", boot, 88)
    sector, cluster = 1 << boot[108], 1 << boot[108] + boot[109]

    def chain(first: int) -> list[int]:
        clusters: dict[int, None] = {}
        while 2 <= first < count + 2 and first not in clusters:
            clusters[first] = None
            (first,) = struct.unpack("<I", where.read(fat * sector + 4 * first, 4))
        return list(clusters)

    def content(clusters: list[int]) -> bytes:
        return b"".join(
            where.read(heap * sector + (number - 2) * cluster, cluster) for number in clusters
        )

    used, bitmap = chain(root), b""
    directory = content(used)
    for start in range(0, len(directory), 32):
        kind, first = struct.unpack_from("<B19xI", directory, start)
        if kind == 0:  # the end
            break
        if kind in (0x81, 0x82):  # Allocation Bitmap, Upcase Table
            clusters = chain(first)
            used += clusters
            bitmap = content(clusters) if kind == 0x81 else bitmap
    indexes = [number - 2 for number in used]
    return max(indexes, default=0) < 8 * len(bitmap) and all(
        bitmap[index // 8] >> index % 8 & 1 for index in indexes
    )
