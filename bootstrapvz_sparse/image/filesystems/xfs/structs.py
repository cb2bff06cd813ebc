"""On-disk structures of XFS: the fields that the reader uses.

Names, offsets and types are those of fs/xfs/libxfs/xfs_format.h and xfs_log_format.h. All numbers
are big endian, except the checksums (``__le32``).
"""

import struct
from typing import Annotated, NamedTuple

from ..on_disk import Layout


class xfs_dsb(NamedTuple):
    """The superblock; version 5 adds the fields from sb_features_compat on."""

    sb_magicnum: Annotated[bytes, 0, "4s"]
    sb_blocksize: Annotated[int, 4, "I"]
    sb_dblocks: Annotated[int, 8, "Q"]
    sb_rblocks: Annotated[int, 16, "Q"]
    sb_uuid: Annotated[bytes, 32, "16s"]
    sb_logstart: Annotated[int, 48, "Q"]
    sb_agblocks: Annotated[int, 84, "I"]
    sb_agcount: Annotated[int, 88, "I"]
    sb_logblocks: Annotated[int, 96, "I"]
    sb_versionnum: Annotated[int, 100, "H"]
    sb_sectsize: Annotated[int, 102, "H"]
    sb_blocklog: Annotated[int, 120, "B"]
    sb_sectlog: Annotated[int, 121, "B"]
    sb_agblklog: Annotated[int, 124, "B"]
    sb_inprogress: Annotated[int, 126, "B"]
    sb_fdblocks: Annotated[int, 144, "Q"]
    sb_features2: Annotated[int, 200, "I"]
    sb_bad_features2: Annotated[int, 204, "I"]
    sb_features_compat: Annotated[int, 208, "I"]
    sb_features_ro_compat: Annotated[int, 212, "I"]
    sb_features_incompat: Annotated[int, 216, "I"]
    sb_features_log_incompat: Annotated[int, 220, "I"]
    sb_crc: Annotated[bytes, 224, "4s"]  # __le32
    sb_lsn: Annotated[int, 240, "Q"]
    sb_meta_uuid: Annotated[bytes, 248, "16s"]


class xfs_agf(NamedTuple):
    """The header of the free space of an allocation group."""

    agf_magicnum: Annotated[bytes, 0, "4s"]
    agf_versionnum: Annotated[int, 4, "I"]
    agf_seqno: Annotated[int, 8, "I"]
    agf_length: Annotated[int, 12, "I"]
    agf_bno_root: Annotated[int, 16, "I"]
    agf_cnt_root: Annotated[int, 20, "I"]
    agf_rmap_root: Annotated[int, 24, "I"]
    agf_bno_level: Annotated[int, 28, "I"]
    agf_cnt_level: Annotated[int, 32, "I"]
    agf_flfirst: Annotated[int, 40, "I"]
    agf_fllast: Annotated[int, 44, "I"]
    agf_flcount: Annotated[int, 48, "I"]
    agf_freeblks: Annotated[int, 52, "I"]
    agf_longest: Annotated[int, 56, "I"]
    agf_btreeblks: Annotated[int, 60, "I"]
    agf_uuid: Annotated[bytes, 64, "16s"]
    agf_rmap_blocks: Annotated[int, 80, "I"]
    agf_refcount_root: Annotated[int, 88, "I"]
    agf_lsn: Annotated[int, 208, "Q"]
    agf_crc: Annotated[bytes, 216, "4s"]  # __le32


class xfs_agi(NamedTuple):
    """The header of the inodes of an allocation group."""

    agi_magicnum: Annotated[bytes, 0, "4s"]
    agi_versionnum: Annotated[int, 4, "I"]
    agi_seqno: Annotated[int, 8, "I"]
    agi_length: Annotated[int, 12, "I"]
    agi_root: Annotated[int, 20, "I"]
    agi_uuid: Annotated[bytes, 296, "16s"]
    agi_crc: Annotated[bytes, 312, "4s"]  # __le32
    agi_lsn: Annotated[int, 320, "Q"]
    agi_free_root: Annotated[int, 328, "I"]


class xfs_agfl(NamedTuple):
    """The header of the free list of an allocation group, of version 5; agfl_bno[] follows."""

    agfl_magicnum: Annotated[bytes, 0, "4s"]
    agfl_seqno: Annotated[int, 4, "I"]
    agfl_uuid: Annotated[bytes, 8, "16s"]
    agfl_lsn: Annotated[int, 24, "Q"]
    agfl_crc: Annotated[bytes, 32, "4s"]  # __le32


class xfs_btree_block(NamedTuple):
    """The header of a block of a tree, short form; bb_blkno and the rest are of version 5."""

    bb_magic: Annotated[bytes, 0, "4s"]
    bb_level: Annotated[int, 4, "H"]
    bb_numrecs: Annotated[int, 6, "H"]
    bb_leftsib: Annotated[int, 8, "I"]
    bb_rightsib: Annotated[int, 12, "I"]
    bb_blkno: Annotated[int, 16, "Q"] = 0
    bb_lsn: Annotated[int, 24, "Q"] = 0
    bb_uuid: Annotated[bytes, 32, "16s"] = b""
    bb_owner: Annotated[int, 48, "I"] = 0
    bb_crc: Annotated[bytes, 52, "4s"] = b""  # __le32


# xfs_alloc_rec, a free extent: ar_startblock, ar_blockcount. Plain tuples: there may be millions.
AllocRec = tuple[int, int]


class xlog_rec_header(NamedTuple):
    """The header of a record of the log."""

    h_magicno: Annotated[bytes, 0, "4s"]
    h_cycle: Annotated[int, 4, "I"]
    h_version: Annotated[int, 8, "I"]
    h_len: Annotated[int, 12, "I"]
    h_lsn: Annotated[int, 16, "Q"]
    h_tail_lsn: Annotated[int, 24, "Q"]
    h_crc: Annotated[bytes, 32, "4s"]  # __le32
    h_num_logops: Annotated[int, 40, "I"]
    h_fs_uuid: Annotated[bytes, 304, "16s"]
    h_size: Annotated[int, 320, "I"]


class xlog_op_header(NamedTuple):
    """The header of an operation in a record of the log."""

    oh_len: Annotated[int, 4, "I"]
    oh_clientid: Annotated[int, 8, "B"]
    oh_flags: Annotated[int, 9, "B"]


DSB = Layout(xfs_dsb, ">", 264)
AGF = Layout(xfs_agf, ">", 224)
AGI = Layout(xfs_agi, ">", 344)
AGFL = Layout(xfs_agfl, ">", 36)
BTREE_BLOCK = Layout(xfs_btree_block, ">", 56)  # XFS_BTREE_SBLOCK_CRC_LEN
BTREE_BLOCK_V4 = Layout(xfs_btree_block, ">", 16)  # XFS_BTREE_SBLOCK_LEN
ALLOC_REC = struct.Struct(">II")
REC_HEADER = Layout(xlog_rec_header, ">", 324)
OP_HEADER = Layout(xlog_op_header, ">", 12)
