"""The location of the journal's log. All numbers in the journal itself are big endian."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from ...extents import Ranges, intersection, union
from ..checksums import crc32c
from ..free_space import NeedsRecovery, UntrustedMetadata
from .layout import Filesystem
from .structs import (
    EXTENT,
    EXTENT_HEADER,
    EXTENT_IDX,
    EXTENT_TAIL,
    GOOD_OLD_INODE,
    INODE,
    JOURNAL_SUPERBLOCK,
    ext4_inode,
    journal_superblock_s,
)
from .superblock import COMPAT_HAS_JOURNAL

JOURNAL_INO = 8
EXTENTS_FL = 0x80000  # i_flags
EXT_MAGIC = 0xF30A  # eh_magic
MAX_EXTENT_DEPTH = 5
EXT_INIT_MAX_LEN = 32768  # a larger ee_len: subtract it; the extent is unwritten
MAX_EXTENTS = 1 << 20  # a tree that refers to itself has no end

I_CHECKSUM_LO = slice(0x7C, 0x7E)  # of an inode
I_CHECKSUM_HI = slice(0x82, 0x84)
I_EXTRA_ISIZE_END = 4  # i_extra_isize that includes i_checksum_hi

JBD2_MAGIC = 0xC03B3998  # h_magic
JBD2_SUPERBLOCK_V1, JBD2_SUPERBLOCK_V2 = 3, 4  # h_blocktype
JBD2_CRC32C_CHKSUM = 4  # s_checksum_type
FEATURE_CSUM = 0x8 | 0x10  # s_feature_incompat: csum_v2 csum_v3
# revoke 64bit async_commit csum_v2 csum_v3 fast_commit
KNOWN_FEATURES = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20
S_CHECKSUM = slice(0xFC, 0x100)  # of the journal's superblock

JNL_BACKUP_BLOCKS = 1  # s_jnl_backup_type: s_jnl_blocks begins with a copy of i_block


class Extent(NamedTuple):
    """``length`` blocks of a file from block ``logical``, which lie from block ``physical``."""

    logical: int
    physical: int
    length: int


def journal_log(fs: Filesystem) -> Ranges:
    """Return the ranges of block numbers of an empty journal, except its superblock.

    The log of a journal with nothing to replay is never read and is overwritten from its beginning:
    the first mount finds zeros there, as after mkfs.

    :raises NeedsRecovery: the log is not empty
    :raises UntrustedMetadata: the journal or its inode is not in order
    """
    if not fs.sb.s_feature_compat & COMPAT_HAS_JOURNAL or fs.sb.s_journal_inum == 0:
        return []  # none, or on another device
    if fs.sb.s_journal_inum != JOURNAL_INO:
        raise UntrustedMetadata(
            f"invalid s_journal_inum {fs.sb.s_journal_inum} (expected {JOURNAL_INO})"
        )
    extents = _journal_extents(fs)
    if not extents:
        raise UntrustedMetadata("the journal has no blocks")
    journal = _read_superblock(fs, extents[0].physical)
    blocks = sum(extent.length for extent in extents)
    if journal.s_maxlen > blocks:
        raise UntrustedMetadata(
            f"the journal has {blocks} blocks, its s_maxlen is {journal.s_maxlen}"
        )
    log: Ranges = []
    for logical, physical, count in extents:
        begin = max(logical, journal.s_first, 1)
        end = min(logical + count, journal.s_maxlen)
        log.append((physical + begin - logical, physical + end - logical))
    log = union(log)
    if intersection(log, fs.metadata):
        raise UntrustedMetadata("the journal overlaps other metadata")
    return log


def _read_superblock(fs: Filesystem, block: int) -> journal_superblock_s:
    """Return the superblock of an empty journal; it is in ``block``."""
    raw = fs.read_block(block)[: JOURNAL_SUPERBLOCK.size]
    journal = JOURNAL_SUPERBLOCK.unpack(raw)
    if journal.h_magic != JBD2_MAGIC:
        raise UntrustedMetadata(f"no journal superblock (h_magic {journal.h_magic:#010x})")
    if journal.h_blocktype not in (JBD2_SUPERBLOCK_V1, JBD2_SUPERBLOCK_V2):
        raise UntrustedMetadata(f"no journal superblock (h_blocktype {journal.h_blocktype})")
    if journal.s_blocksize != fs.geometry.block_size:
        raise UntrustedMetadata(
            f"invalid s_blocksize {journal.s_blocksize} of the journal "
            f"(expected {fs.geometry.block_size})"
        )
    if journal.s_start:
        raise NeedsRecovery(f"the journal is not empty (s_start {journal.s_start})")
    if journal.s_errno:
        raise UntrustedMetadata(f"the journal recorded an error (s_errno {journal.s_errno})")
    if journal.h_blocktype == JBD2_SUPERBLOCK_V2:  # version 1 has no features
        _verify_features(journal, raw)
    return journal


def _verify_features(journal: journal_superblock_s, raw: bytes) -> None:
    incompat, ro_compat = journal.s_feature_incompat, journal.s_feature_ro_compat
    if incompat & ~KNOWN_FEATURES or ro_compat:
        raise UntrustedMetadata(
            f"unsupported features of the journal: incompat {incompat & ~KNOWN_FEATURES:#x}, "
            f"ro_compat {ro_compat:#x}"
        )
    if not incompat & FEATURE_CSUM:
        return
    if journal.s_checksum_type != JBD2_CRC32C_CHKSUM:
        raise UntrustedMetadata(
            f"unsupported s_checksum_type {journal.s_checksum_type} of the journal"
        )
    if crc32c(_cleared(raw, S_CHECKSUM)) != journal.s_checksum:
        raise UntrustedMetadata("wrong checksum of the superblock of the journal")


def _journal_extents(fs: Filesystem) -> list[Extent]:
    """Return the extents of the journal's inode, a file without holes."""
    inode, seed = _read_inode(fs, JOURNAL_INO)
    # the last two of s_jnl_blocks are the size
    backup = fs.sb.s_jnl_blocks[: len(inode.i_block)]
    if fs.sb.s_jnl_backup_type == JNL_BACKUP_BLOCKS and backup != inode.i_block:
        raise UntrustedMetadata("the journal's inode differs from its copy in s_jnl_blocks")
    if inode.i_flags & EXTENTS_FL:
        runs = _extent_tree(fs, inode.i_block, seed, depth=None)
    else:
        runs = _block_map(fs, inode.i_block)
    geometry = fs.geometry
    extents: list[Extent] = []
    expected = 0
    for extent in islice(runs, min(MAX_EXTENTS, geometry.blocks_count)):
        logical, physical, count = extent
        if not (
            logical == expected
            and count
            and geometry.first_data_block <= physical <= geometry.blocks_count - count
        ):  # a tree that refers to itself is caught here first
            raise UntrustedMetadata(
                f"invalid extent of the journal: {count} blocks at block {physical}, "
                f"of its block {logical} (expected {expected})"
            )
        expected = logical + count
        extents.append(extent)
    return extents


def _read_inode(fs: Filesystem, number: int) -> tuple[ext4_inode, int]:
    """Return an inode, and the seed of the checksums of its extent tree."""
    geometry = fs.geometry
    group, index = divmod(number - 1, geometry.inodes_per_group)
    if group >= geometry.groups_count:
        raise UntrustedMetadata(f"inode {number} is beyond the last group")
    place = fs.groups[group].inode_table * geometry.block_size + index * geometry.inode_size
    raw = fs.read(place, geometry.inode_size)
    inode = (INODE if len(raw) >= INODE.size else GOOD_OLD_INODE).unpack(raw)
    if not fs.metadata_csum:
        return inode, 0
    seed = crc32c(struct.pack("<II", number, inode.i_generation), fs.csum_seed)
    found, mask = inode.l_i_checksum_lo, 0xFFFF
    covered = _cleared(raw, I_CHECKSUM_LO)
    if inode.i_extra_isize >= I_EXTRA_ISIZE_END:
        found, mask = found | inode.i_checksum_hi << 16, 0xFFFFFFFF
        covered = _cleared(covered, I_CHECKSUM_HI)
    if crc32c(covered, seed) & mask != found:
        raise UntrustedMetadata(f"wrong checksum of inode {number}")
    return inode, seed


def _cleared(raw: bytes, place: slice) -> bytes:
    """Return ``raw`` with zeros at ``place``, as checksums count their own place."""
    return raw[: place.start] + bytes(place.stop - place.start) + raw[place.stop :]


def _extent_tree(fs: Filesystem, node: bytes, seed: int, depth: int | None) -> Iterator[Extent]:
    """Return the extents below ``node``, whose eh_depth must be ``depth`` (None at the root)."""
    header = EXTENT_HEADER.unpack(node)
    tail = EXTENT.size * (header.eh_max + 1)
    if (
        header.eh_magic != EXT_MAGIC
        or not 0 < header.eh_entries <= header.eh_max
        or tail > len(node)
        or (header.eh_depth > MAX_EXTENT_DEPTH if depth is None else header.eh_depth != depth)
    ):
        raise UntrustedMetadata(
            "invalid extent header of the journal: eh_magic {:#x}, eh_entries {}, eh_max {}, "
            "eh_depth {}".format(*header)
        )
    if (
        depth is not None
        and fs.metadata_csum
        and crc32c(node[:tail], seed) != EXTENT_TAIL.unpack(node, tail).et_checksum
    ):
        raise UntrustedMetadata("wrong checksum of an extent tree")
    for place in range(EXTENT.size, EXTENT.size * (header.eh_entries + 1), EXTENT.size):
        if header.eh_depth:
            index = EXTENT_IDX.unpack(node, place)
            below = fs.read_block(index.ei_leaf_lo | index.ei_leaf_hi << 32)
            yield from _extent_tree(fs, below, seed, header.eh_depth - 1)
        else:
            extent = EXTENT.unpack(node, place)
            count = extent.ee_len
            if count > EXT_INIT_MAX_LEN:
                count -= EXT_INIT_MAX_LEN
            yield Extent(extent.ee_block, extent.ee_start_lo | extent.ee_start_hi << 32, count)


def _block_map(fs: Filesystem, pointers: bytes) -> Iterator[Extent]:
    """Return the blocks of an ext2 or ext3 file: twelve direct, one of each indirection."""
    per_block = fs.geometry.block_size // 4
    logical = 0
    for index, pointer in enumerate(struct.unpack("<15I", pointers)):
        depth = max(index - 11, 0)
        if pointer:
            yield from _indirect(fs, pointer, depth, logical)
        logical += per_block**depth


def _indirect(fs: Filesystem, pointer: int, depth: int, logical: int) -> Iterator[Extent]:
    if depth == 0:
        yield Extent(logical, pointer, 1)
        return
    span = (fs.geometry.block_size // 4) ** (depth - 1)
    pointers = fs.read_block(pointer)
    if pointers[:4] == bytes(4):
        raise UntrustedMetadata("the journal has a hole")
    for index, (below,) in enumerate(struct.iter_unpack("<I", pointers)):
        if below:
            yield from _indirect(fs, below, depth - 1, logical + index * span)
