"""The two free-space trees of an allocation group: extents by place, and the same by size."""

from __future__ import annotations

import struct
from typing import NamedTuple

from ..free_space import UntrustedMetadata
from .groups import Group
from .layout import Filesystem, Seal
from .structs import ALLOC_REC, BTREE_BLOCK, BTREE_BLOCK_V4, AllocRec, xfs_btree_block
from .superblock import BBSIZE

NULLAGBLOCK = 0xFFFFFFFF
MAX_LEVELS = 9
POINTER_SIZE = 4
BB_CRC = 52  # offset of bb_crc


class Tree(NamedTuple):
    """A free-space tree: its bb_magic in version 4 and 5, root and levels from the AGF."""

    magics: tuple[bytes, bytes]
    root: int
    levels: int


def by_place(group: Group) -> Tree:
    """Return the tree of free extents sorted by their first block, "bno"."""
    return Tree((b"ABTB", b"AB3B"), group.agf.agf_bno_root, group.agf.agf_bno_level)


def by_size(group: Group) -> Tree:
    """Return the tree of free extents sorted by their length, "cnt"."""
    return Tree((b"ABTC", b"AB3C"), group.agf.agf_cnt_root, group.agf.agf_cnt_level)


def read_tree(
    fs: Filesystem, group: Group, tree: Tree, head_lsn: int
) -> tuple[list[AllocRec], list[int]]:
    """Return the records of the leaves from left to right, and the blocks of the tree.

    :raises UntrustedMetadata: the tree is not in order
    """
    if not 1 <= tree.levels <= MAX_LEVELS:
        raise UntrustedMetadata(f"a tree of group {group.number} has {tree.levels} levels")
    blocks = [tree.root]
    keys: list[AllocRec] = []
    tree_blocks: list[int] = []
    for level in range(tree.levels - 1, -1, -1):
        tree_blocks += blocks
        if len(tree_blocks) > group.length:
            raise _broken(group, "it refers to itself")
        firsts: list[AllocRec] = []
        records: list[AllocRec] = []
        children: list[int] = []
        siblings = [NULLAGBLOCK, *blocks, NULLAGBLOCK]
        for index, block in enumerate(blocks):
            raw, header = _read_block(fs, group, block, head_lsn)
            expected = (tree.magics[fs.v5], level, siblings[index], siblings[index + 2])
            if expected != (
                header.bb_magic,
                header.bb_level,
                header.bb_leftsib,
                header.bb_rightsib,
            ):
                raise _broken(group, f"block {block} is not of level {level} or not in its place")
            entries, pointers = _entries(fs, group, raw, header, is_root=block == tree.root)
            firsts += entries[:1]
            records += entries
            children += pointers
        if level < tree.levels - 1 and firsts != keys:
            raise _broken(group, f"the keys of level {level} differ from its records")
        blocks, keys = children, records
    return keys, tree_blocks


def _broken(group: Group, problem: str) -> UntrustedMetadata:
    return UntrustedMetadata(f"a tree of group {group.number} is broken: {problem}")


def _read_block(
    fs: Filesystem, group: Group, block: int, head_lsn: int
) -> tuple[bytes, xfs_btree_block]:
    if not fs.geometry.header_blocks <= block < group.length:
        raise UntrustedMetadata(f"a tree of group {group.number} lies outside it")
    place = (group.number * fs.geometry.agblocks + block) * fs.geometry.block_size
    raw = fs.read(place, fs.geometry.block_size)
    if not fs.v5:
        return raw, BTREE_BLOCK_V4.unpack(raw)
    header = BTREE_BLOCK.unpack(raw)
    seal = Seal(header.bb_uuid, header.bb_lsn, header.bb_crc, BB_CRC)
    fs.verify(raw, f"a tree of group {group.number}", head_lsn, seal)
    if header.bb_blkno * BBSIZE != place or header.bb_owner != group.number:
        raise _broken(
            group, f"block {block} has bb_blkno {header.bb_blkno}, bb_owner {header.bb_owner}"
        )
    return raw, header


def _entries(
    fs: Filesystem, group: Group, raw: bytes, header: xfs_btree_block, *, is_root: bool
) -> tuple[list[AllocRec], list[int]]:
    """Return the records of a leaf; of a node its keys, each child's first record, and pointers."""
    count = header.bb_numrecs
    start = (BTREE_BLOCK if fs.v5 else BTREE_BLOCK_V4).size
    size = ALLOC_REC.size + (POINTER_SIZE if header.bb_level else 0)
    most = (len(raw) - start) // size
    # only a group without free blocks has an empty leaf
    if count > most or (count == 0 and (header.bb_level or not is_root)):
        raise _broken(group, f"bb_numrecs is {count}")
    records = list(ALLOC_REC.iter_unpack(raw[start : start + ALLOC_REC.size * count]))
    if not header.bb_level:
        return records, []
    return records, list(struct.unpack_from(f">{count}I", raw, start + ALLOC_REC.size * most))
