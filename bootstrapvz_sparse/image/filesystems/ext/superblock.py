"""The superblock of ext2, ext3 and ext4 in three steps: parse, state, geometry."""

from __future__ import annotations

from typing import NamedTuple

from ..checksums import crc32c
from ..free_space import NeedsRecovery, UntrustedMetadata
from .structs import SUPER_BLOCK, ext4_super_block

SUPERBLOCK_OFFSET = 1024  # bytes from the start of the filesystem
CHECKSUM_OFFSET = 0x3FC  # of s_checksum, which covers all bytes before it
MAGIC = 0xEF53
CRC32C = 1  # s_checksum_type

GOOD_OLD_REV = 0  # s_rev_level: without features
GOOD_OLD_INODE_SIZE = 128
MIN_DESC_SIZE = 32

# s_state
VALID_FS = 0x1
ERROR_FS = 0x2

# s_feature_compat
COMPAT_HAS_JOURNAL = 0x4
COMPAT_SPARSE_SUPER2 = 0x200

# s_feature_incompat
INCOMPAT_RECOVER = 0x4
INCOMPAT_JOURNAL_DEV = 0x8
INCOMPAT_META_BG = 0x10
INCOMPAT_64BIT = 0x80
INCOMPAT_CSUM_SEED = 0x2000
# filetype meta_bg extents 64bit mmp flex_bg ea_inode csum_seed largedir inline_data encrypt
# casefold; left out: compression, recover, journal_dev, dirdata
KNOWN_INCOMPAT = 0x2 | 0x10 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000
KNOWN_INCOMPAT |= 0x10000 | 0x20000

# s_feature_ro_compat
RO_COMPAT_SPARSE_SUPER = 0x1
RO_COMPAT_GDT_CSUM = 0x10
RO_COMPAT_BIGALLOC = 0x200
RO_COMPAT_METADATA_CSUM = 0x400
RO_COMPAT_ORPHAN_PRESENT = 0x10000
# sparse_super large_file btree_dir huge_file gdt_csum dir_nlink extra_isize quota bigalloc
# metadata_csum readonly project verity; left out: snapshot, replica, shared_blocks, orphan_present
KNOWN_RO_COMPAT = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x100 | 0x200 | 0x400 | 0x1000
KNOWN_RO_COMPAT |= 0x2000 | 0x8000

MAX_LOG_BLOCK_SIZE = 6  # 64 KiB
MAX_LOG_CLUSTER_SIZE = 20  # 1 GiB
MAX_GROUPS = 1 << 19  # of 64 TiB as mke2fs makes it


def parse(raw: bytes) -> ext4_super_block:
    """Return the superblock; fields that its revision or features do not use have defaults.

    :raises UntrustedMetadata: it is not a superblock
    """
    sb = SUPER_BLOCK.unpack(raw)
    if sb.s_magic != MAGIC:
        raise UntrustedMetadata(f"no ext2/3/4 superblock (s_magic {sb.s_magic:#06x})")
    if sb.s_rev_level == GOOD_OLD_REV:
        sb = sb._replace(
            s_feature_compat=0,
            s_feature_incompat=0,
            s_feature_ro_compat=0,
            s_inode_size=GOOD_OLD_INODE_SIZE,
            s_reserved_gdt_blocks=0,
        )
    if not sb.s_feature_incompat & INCOMPAT_64BIT:
        sb = sb._replace(s_blocks_count_hi=0, s_free_blocks_count_hi=0, s_desc_size=MIN_DESC_SIZE)
    return sb


def require_clean_state(sb: ext4_super_block) -> None:
    """Check that the filesystem was unmounted, has no error, and no unknown feature.

    :raises NeedsRecovery: it was mounted
    :raises UntrustedMetadata: it has an error or an unknown feature
    """
    if sb.s_feature_incompat & INCOMPAT_JOURNAL_DEV:
        raise UntrustedMetadata("the external journal of another filesystem")
    if sb.s_feature_incompat & INCOMPAT_RECOVER:
        raise NeedsRecovery("the journal needs recovery")
    if not sb.s_state & VALID_FS:
        raise NeedsRecovery(f"not cleanly unmounted (s_state {sb.s_state:#x})")
    if sb.s_state & ERROR_FS:
        raise UntrustedMetadata(f"the kernel found errors (s_state {sb.s_state:#x})")
    if sb.s_feature_ro_compat & RO_COMPAT_ORPHAN_PRESENT:
        raise NeedsRecovery("the orphan file is not empty (orphan_present)")
    incompat = sb.s_feature_incompat & ~KNOWN_INCOMPAT
    ro_compat = sb.s_feature_ro_compat & ~KNOWN_RO_COMPAT
    if incompat or ro_compat:
        raise UntrustedMetadata(
            f"unsupported features: incompat {incompat:#x}, ro_compat {ro_compat:#x}"
        )


def verify_checksum(sb: ext4_super_block, raw: bytes) -> None:
    """Verify s_checksum, if there are checksums.

    :raises UntrustedMetadata: it is wrong, or of an unknown type
    """
    if not sb.s_feature_ro_compat & RO_COMPAT_METADATA_CSUM:
        return
    if sb.s_checksum_type != CRC32C:
        raise UntrustedMetadata(f"unsupported s_checksum_type {sb.s_checksum_type}")
    if crc32c(raw[:CHECKSUM_OFFSET]) != sb.s_checksum:
        raise UntrustedMetadata("wrong checksum of the superblock")


class Geometry(NamedTuple):
    """Sizes in bytes and counts, by the names of the kernel's struct ext4_sb_info."""

    block_size: int
    blocks_count: int
    free_blocks_count: int
    first_data_block: int
    cluster_ratio: int  # blocks of a cluster
    blocks_per_group: int
    clusters_per_group: int
    inodes_per_group: int
    inode_size: int
    desc_size: int
    itb_per_group: int  # blocks of an inode table
    groups_count: int
    desc_per_block: int


def geometry(sb: ext4_super_block, size: int) -> Geometry:
    """Return the geometry of a filesystem on ``size`` bytes.

    :raises UntrustedMetadata: a field is out of range or contradicts another
    """
    _require(sb.s_log_block_size <= MAX_LOG_BLOCK_SIZE, "s_log_block_size", sb.s_log_block_size)
    _require(
        sb.s_log_cluster_size <= MAX_LOG_CLUSTER_SIZE, "s_log_cluster_size", sb.s_log_cluster_size
    )
    block_size = 1024 << sb.s_log_block_size
    cluster_ratio = 1
    if sb.s_feature_ro_compat & RO_COMPAT_BIGALLOC:
        cluster_ratio = (1024 << sb.s_log_cluster_size) // block_size
    first = 0 if block_size > 1024 or cluster_ratio > 1 else 1
    blocks_count = sb.s_blocks_count_lo | sb.s_blocks_count_hi << 32
    bits = 8 * block_size  # of a bitmap
    for valid, field, value in (
        (cluster_ratio >= 1, "s_log_cluster_size", sb.s_log_cluster_size),
        (sb.s_first_data_block == first, "s_first_data_block", sb.s_first_data_block),
        (blocks_count > first, "s_blocks_count", blocks_count),
        (1 <= sb.s_clusters_per_group <= bits, "s_clusters_per_group", sb.s_clusters_per_group),
        (
            sb.s_blocks_per_group == sb.s_clusters_per_group * cluster_ratio,
            "s_blocks_per_group",
            sb.s_blocks_per_group,
        ),
        (1 <= sb.s_inodes_per_group <= bits, "s_inodes_per_group", sb.s_inodes_per_group),
        (
            _is_power_of_two(sb.s_inode_size, GOOD_OLD_INODE_SIZE, block_size),
            "s_inode_size",
            sb.s_inode_size,
        ),
        (
            _is_power_of_two(sb.s_desc_size, MIN_DESC_SIZE, block_size),
            "s_desc_size",
            sb.s_desc_size,
        ),
    ):
        _require(valid, field, value)
    if blocks_count * block_size > size:
        raise UntrustedMetadata(
            f"the filesystem ({blocks_count} blocks of {block_size} bytes) is larger than its "
            f"partition ({size} bytes)"
        )
    groups_count = -(-(blocks_count - first) // sb.s_blocks_per_group)
    if groups_count > MAX_GROUPS:
        raise UntrustedMetadata(f"too many block groups: {groups_count} (at most {MAX_GROUPS})")
    return Geometry(
        block_size=block_size,
        blocks_count=blocks_count,
        free_blocks_count=sb.s_free_blocks_count_lo | sb.s_free_blocks_count_hi << 32,
        first_data_block=first,
        cluster_ratio=cluster_ratio,
        blocks_per_group=sb.s_blocks_per_group,
        clusters_per_group=sb.s_clusters_per_group,
        inodes_per_group=sb.s_inodes_per_group,
        inode_size=sb.s_inode_size,
        desc_size=sb.s_desc_size,
        itb_per_group=-(-sb.s_inodes_per_group * sb.s_inode_size // block_size),
        groups_count=groups_count,
        desc_per_block=block_size // sb.s_desc_size,
    )


def _require(valid: bool, field: str, value: int) -> None:
    if not valid:
        raise UntrustedMetadata(f"invalid {field} {value}")


def _is_power_of_two(number: int, least: int, most: int) -> bool:
    return least <= number <= most and number & (number - 1) == 0
