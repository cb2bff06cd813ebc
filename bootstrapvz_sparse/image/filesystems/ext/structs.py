"""On-disk structures of ext2, ext3, ext4 and jbd2: the fields that the reader uses.

Names, offsets and types are those of fs/ext4/ext4.h, fs/ext4/ext4_extents.h and
include/linux/jbd2.h; https://docs.kernel.org/filesystems/ext4/ shows the same tables. All numbers
are little endian, except those of the journal.
"""

from typing import Annotated, NamedTuple

from ..on_disk import Layout


class ext4_super_block(NamedTuple):
    """The superblock."""

    s_blocks_count_lo: Annotated[int, 0x04, "I"]
    s_free_blocks_count_lo: Annotated[int, 0x0C, "I"]
    s_first_data_block: Annotated[int, 0x14, "I"]
    s_log_block_size: Annotated[int, 0x18, "I"]
    s_log_cluster_size: Annotated[int, 0x1C, "I"]
    s_blocks_per_group: Annotated[int, 0x20, "I"]
    s_clusters_per_group: Annotated[int, 0x24, "I"]
    s_inodes_per_group: Annotated[int, 0x28, "I"]
    s_magic: Annotated[int, 0x38, "H"]
    s_state: Annotated[int, 0x3A, "H"]
    s_rev_level: Annotated[int, 0x4C, "I"]
    s_inode_size: Annotated[int, 0x58, "H"]
    s_feature_compat: Annotated[int, 0x5C, "I"]
    s_feature_incompat: Annotated[int, 0x60, "I"]
    s_feature_ro_compat: Annotated[int, 0x64, "I"]
    s_uuid: Annotated[bytes, 0x68, "16s"]
    s_reserved_gdt_blocks: Annotated[int, 0xCE, "H"]
    s_journal_inum: Annotated[int, 0xE0, "I"]
    s_jnl_backup_type: Annotated[int, 0xFD, "B"]
    s_desc_size: Annotated[int, 0xFE, "H"]
    s_first_meta_bg: Annotated[int, 0x104, "I"]
    s_jnl_blocks: Annotated[bytes, 0x10C, "68s"]  # __le32 [17]
    s_blocks_count_hi: Annotated[int, 0x150, "I"]
    s_free_blocks_count_hi: Annotated[int, 0x158, "I"]
    s_checksum_type: Annotated[int, 0x175, "B"]
    s_backup_bgs_0: Annotated[int, 0x24C, "I"]  # s_backup_bgs[2]
    s_backup_bgs_1: Annotated[int, 0x250, "I"]
    s_checksum_seed: Annotated[int, 0x270, "I"]
    s_checksum: Annotated[int, 0x3FC, "I"]


class ext4_group_desc(NamedTuple):
    """A block group descriptor; of 32 bytes it ends before bg_block_bitmap_hi."""

    bg_block_bitmap_lo: Annotated[int, 0x00, "I"]
    bg_inode_bitmap_lo: Annotated[int, 0x04, "I"]
    bg_inode_table_lo: Annotated[int, 0x08, "I"]
    bg_free_blocks_count_lo: Annotated[int, 0x0C, "H"]
    bg_flags: Annotated[int, 0x12, "H"]
    bg_block_bitmap_csum_lo: Annotated[int, 0x18, "H"]
    bg_checksum: Annotated[int, 0x1E, "H"]
    bg_block_bitmap_hi: Annotated[int, 0x20, "I"] = 0
    bg_inode_bitmap_hi: Annotated[int, 0x24, "I"] = 0
    bg_inode_table_hi: Annotated[int, 0x28, "I"] = 0
    bg_free_blocks_count_hi: Annotated[int, 0x2C, "H"] = 0
    bg_block_bitmap_csum_hi: Annotated[int, 0x38, "H"] = 0


class ext4_inode(NamedTuple):
    """An inode; of 128 bytes it ends before i_extra_isize."""

    i_flags: Annotated[int, 0x20, "I"]
    i_block: Annotated[bytes, 0x28, "60s"]  # __le32 [15]
    i_generation: Annotated[int, 0x64, "I"]
    l_i_checksum_lo: Annotated[int, 0x7C, "H"]  # osd2.linux2
    i_extra_isize: Annotated[int, 0x80, "H"] = 0
    i_checksum_hi: Annotated[int, 0x82, "H"] = 0


class ext4_extent_header(NamedTuple):
    """The start of each node of an extent tree."""

    eh_magic: Annotated[int, 0x0, "H"]
    eh_entries: Annotated[int, 0x2, "H"]
    eh_max: Annotated[int, 0x4, "H"]
    eh_depth: Annotated[int, 0x6, "H"]


class ext4_extent_idx(NamedTuple):
    """An entry of an inner node of an extent tree."""

    ei_block: Annotated[int, 0x0, "I"]
    ei_leaf_lo: Annotated[int, 0x4, "I"]
    ei_leaf_hi: Annotated[int, 0x8, "H"]


class ext4_extent(NamedTuple):
    """An entry of a leaf of an extent tree."""

    ee_block: Annotated[int, 0x0, "I"]
    ee_len: Annotated[int, 0x4, "H"]
    ee_start_hi: Annotated[int, 0x6, "H"]
    ee_start_lo: Annotated[int, 0x8, "I"]


class ext4_extent_tail(NamedTuple):
    """The end of each node of an extent tree, except that in the inode."""

    et_checksum: Annotated[int, 0x0, "I"]


class journal_superblock_s(NamedTuple):
    """The superblock of a journal, big endian; it begins with a journal_header_s."""

    h_magic: Annotated[int, 0x00, "I"]
    h_blocktype: Annotated[int, 0x04, "I"]
    s_blocksize: Annotated[int, 0x0C, "I"]
    s_maxlen: Annotated[int, 0x10, "I"]
    s_first: Annotated[int, 0x14, "I"]
    s_start: Annotated[int, 0x1C, "I"]
    s_errno: Annotated[int, 0x20, "i"]
    s_feature_incompat: Annotated[int, 0x28, "I"]
    s_feature_ro_compat: Annotated[int, 0x2C, "I"]
    s_checksum_type: Annotated[int, 0x50, "B"]
    s_checksum: Annotated[int, 0xFC, "I"]


SUPER_BLOCK = Layout(ext4_super_block, "<", 1024)
INODE = Layout(ext4_inode, "<", 160)
GOOD_OLD_INODE = Layout(ext4_inode, "<", 128)
EXTENT_HEADER = Layout(ext4_extent_header, "<", 12)
EXTENT_IDX = Layout(ext4_extent_idx, "<", 12)
EXTENT = Layout(ext4_extent, "<", 12)
EXTENT_TAIL = Layout(ext4_extent_tail, "<", 4)
JOURNAL_SUPERBLOCK = Layout(journal_superblock_s, ">", 1024)


def group_desc(size: int) -> Layout[ext4_group_desc]:
    """Return the layout of descriptors of ``size`` bytes (s_desc_size)."""
    return Layout(ext4_group_desc, "<", size)
