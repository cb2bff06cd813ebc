"""Where the log of the journal lies. All numbers of the journal itself are big endian."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice

from ...extents import Ranges, intersection, union
from ..checksums import crc32c
from ..free_space import UntrustedMetadata
from .layout import Filesystem

JOURNAL_INODE = 8
INODE_USES_EXTENTS = 0x80000  # i_flags
EXTENT_MAGIC = 0xF30A
MAX_EXTENTS = 1 << 20  # a tree that refers to itself would have no end
UNWRITTEN = 32768  # ee_len above this: that many less, and not written yet

JOURNAL_MAGIC = 0xC03B3998
JOURNAL_SUPERBLOCKS = (3, 4)  # h_blocktype
JOURNAL_CSUM = 0x8 | 0x10
# s_feature_incompat of the journal: revoke 64bit async_commit csum_v2 csum_v3 fast_commit
KNOWN_JOURNAL = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20


def journal_log(fs: Filesystem) -> Ranges:
    """Ranges of the block numbers of an empty journal, but for its superblock.

    Nobody reads the log of a journal that has nothing to replay, and it is written from its
    beginning again: the first mount finds zeros there, as after mkfs.
    """
    if fs.journal_inode == 0:
        return []  # none, or on another device
    if fs.journal_inode != JOURNAL_INODE:
        raise UntrustedMetadata("its journal is an unknown inode")
    extents = _journal_extents(fs, fs.journal_inode)
    if not extents:
        raise UntrustedMetadata("its journal has no blocks")
    raw = fs.read_block(extents[0][1])[:1024]
    magic, kind, _, block, length, first, _, log_start, error = struct.unpack_from(">9I", raw)
    if magic != JOURNAL_MAGIC or kind not in JOURNAL_SUPERBLOCKS or block != fs.block:
        raise UntrustedMetadata("its journal has no superblock")
    if log_start or error:
        raise UntrustedMetadata("its journal is not empty, or has an error")
    features = int.from_bytes(raw[0x28:0x2C], "big") if kind == 4 else 0
    if features & ~KNOWN_JOURNAL:
        raise UntrustedMetadata(f"its journal has unknown features: {features:#x}")
    if features & JOURNAL_CSUM:
        expected = crc32c(raw[:0xFC] + bytes(4) + raw[0x100:])
        if expected != int.from_bytes(raw[0xFC:0x100], "big"):
            raise UntrustedMetadata("wrong checksum of the superblock of the journal")
    if length > sum(count for _, _, count in extents):
        raise UntrustedMetadata("its journal is longer than its blocks")
    log: Ranges = []
    for logical, physical, count in extents:
        begin, end = max(logical, first, 1), min(logical + count, length)
        log.append((physical + begin - logical, physical + end - logical))
    log = union(log)
    if intersection(log, fs.metadata):
        raise UntrustedMetadata("its journal overlaps its metadata")
    return log


def _journal_extents(fs: Filesystem, number: int) -> list[tuple[int, int, int]]:
    """The blocks of the journal's inode ``number``, which has no hole.

    For each run: first logical block, first physical block, count of blocks.
    """
    group, index = divmod(number - 1, fs.inodes_per_group)
    if group >= fs.group_count:
        raise UntrustedMetadata(f"inode {number} is asked for, which it does not have")
    place = fs.groups[group].inode_table * fs.block + index * fs.inode_size
    raw = fs.read(place, fs.inode_size)
    seed = 0
    if fs.metadata_csum:
        seed = crc32c(struct.pack("<I", number), fs.seed)
        seed = crc32c(raw[0x64:0x68], seed)  # i_generation
        _check_inode(fs, number, raw, seed)
    tree = raw[0x28:0x64]
    if fs.journal_backup not in (None, tree):
        raise UntrustedMetadata("its journal is not where the superblock says")
    if int.from_bytes(raw[0x20:0x24], "little") & INODE_USES_EXTENTS:
        runs = _extent_tree(fs, tree, seed, depth=None)
    else:
        runs = _block_map(fs, tree)
    extents: list[tuple[int, int, int]] = []
    position = 0
    for logical, physical, count in islice(runs, min(MAX_EXTENTS, fs.blocks)):
        sound = logical == position and count and fs.first <= physical <= fs.blocks - count
        if not sound:  # the first thing that a tree which refers to itself comes to
            raise UntrustedMetadata("its journal has impossible blocks")
        position = logical + count
        extents.append((logical, physical, count))
    return extents


def _check_inode(fs: Filesystem, number: int, raw: bytes, seed: int) -> None:
    found = int.from_bytes(raw[0x7C:0x7E], "little")
    cleared = raw[:0x7C] + b"\0\0" + raw[0x7E:]
    if fs.inode_size > 128 and int.from_bytes(raw[0x80:0x82], "little") >= 4:
        found |= int.from_bytes(raw[0x82:0x84], "little") << 16
        cleared = cleared[:0x82] + b"\0\0" + cleared[0x84:]
        mask = 0xFFFFFFFF
    else:
        mask = 0xFFFF
    if crc32c(cleared, seed) & mask != found:
        raise UntrustedMetadata(f"wrong checksum of inode {number}")


def _extent_tree(
    fs: Filesystem, node: bytes, seed: int, depth: int | None
) -> Iterator[tuple[int, int, int]]:
    """The leaves below ``node``, whose depth must be ``depth``, None at the root."""
    magic, entries, most, found_depth = struct.unpack_from("<HHHH", node)
    if (
        magic != EXTENT_MAGIC
        or not 0 < entries <= most
        or 12 * (most + 1) > len(node)
        or (found_depth > 5 if depth is None else found_depth != depth)
    ):
        raise UntrustedMetadata("a broken extent tree")
    if depth is not None and fs.metadata_csum:
        tail = 12 * (most + 1)
        if crc32c(node[:tail], seed) != int.from_bytes(node[tail : tail + 4], "little"):
            raise UntrustedMetadata("wrong checksum of an extent tree")
    for entry in range(12, 12 * (entries + 1), 12):
        if found_depth:
            _, low, high = struct.unpack_from("<IIH", node, entry)
            yield from _extent_tree(fs, fs.read_block(low | high << 32), seed, found_depth - 1)
        else:
            logical, length, high, low = struct.unpack_from("<IHHI", node, entry)
            count = length - UNWRITTEN if length > UNWRITTEN else length
            yield logical, low | high << 32, count


def _block_map(fs: Filesystem, pointers: bytes) -> Iterator[tuple[int, int, int]]:
    """The blocks of a file of ext2 or ext3: twelve direct, and one of each indirection."""
    per_block = fs.block // 4
    logical = 0
    for index, pointer in enumerate(struct.unpack("<15I", pointers)):
        depth = max(index - 11, 0)
        if pointer:
            yield from _indirect(fs, pointer, depth, logical)
        logical += per_block**depth


def _indirect(
    fs: Filesystem, pointer: int, depth: int, logical: int
) -> Iterator[tuple[int, int, int]]:
    if depth == 0:
        yield logical, pointer, 1
        return
    span = (fs.block // 4) ** (depth - 1)
    pointers = fs.read_block(pointer)
    if pointers[:4] == bytes(4):
        raise UntrustedMetadata("its journal has a hole")
    for index, (below,) in enumerate(struct.iter_unpack("<I", pointers)):
        if below:
            yield from _indirect(fs, below, depth - 1, logical + index * span)
