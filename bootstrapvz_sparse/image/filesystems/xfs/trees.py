"""The two free-space trees of an allocation group: extents by place, and the same by size."""

from __future__ import annotations

import struct

from ..free_space import UntrustedMetadata
from .groups import Group
from .layout import BASIC, Filesystem

NO_BLOCK = 0xFFFFFFFF
MOST_LEVELS = 9

Record = tuple[int, int]  # first block, count of blocks

BY_PLACE = (b"ABTB", b"AB3B")  # bb_magic of version 4 and 5
BY_SIZE = (b"ABTC", b"AB3C")


def read_tree(
    fs: Filesystem, group: Group, magics: tuple[bytes, bytes], newest: int
) -> tuple[list[Record], list[int]]:
    """The records of the leaves from left to right, and the blocks of the tree."""
    root, levels = group.by_place if magics is BY_PLACE else group.by_size
    if not 1 <= levels <= MOST_LEVELS:
        raise UntrustedMetadata(f"a tree of group {group.number} has {levels} levels")
    blocks = [root]
    keys: list[Record] = []
    seen: list[int] = []
    for level in range(levels - 1, -1, -1):
        seen += blocks
        if len(seen) > group.length:  # it refers to itself
            raise _broken(group)
        firsts: list[Record] = []
        records: list[Record] = []
        children: list[int] = []
        siblings = [NO_BLOCK, *blocks, NO_BLOCK]
        for index, block in enumerate(blocks):
            raw = _read_node(fs, group, block, newest)
            expected = struct.pack(">4sH", magics[fs.v5], level)
            if raw[:6] != expected or raw[8:16] != struct.pack(
                ">II", siblings[index], siblings[index + 2]
            ):
                raise _broken(group)
            found, pointers = _entries(fs, group, raw, level, block == root)
            firsts += found[:1]
            records += found
            children += pointers
        if level < levels - 1 and firsts != keys:
            raise _broken(group)
        blocks, keys = children, records
    return keys, seen


def _broken(group: Group) -> UntrustedMetadata:
    return UntrustedMetadata(f"a tree of group {group.number} is broken")


def _read_node(fs: Filesystem, group: Group, block: int, newest: int) -> bytes:
    if not fs.first <= block < group.length:
        raise UntrustedMetadata(f"a tree of group {group.number} lies outside it")
    place = (group.number * fs.group_blocks + block) * fs.block
    raw = fs.read(place, fs.block)
    fs.verify(raw, f"a tree of group {group.number}", newest, (32, 24, 52))
    if fs.v5:
        address, owner = int.from_bytes(raw[16:24], "big"), int.from_bytes(raw[48:52], "big")
        if address * BASIC != place or owner != group.number:
            raise _broken(group)
    return raw


def _entries(
    fs: Filesystem, group: Group, raw: bytes, level: int, root: bool
) -> tuple[list[Record], list[int]]:
    """Records of a leaf; keys of a node, which are those records each child begins with, and
    pointers."""
    count = int.from_bytes(raw[6:8], "big")
    header = 56 if fs.v5 else 16
    most = (fs.block - header) // (12 if level else 8)
    # only a group without free blocks has an empty leaf
    if count > most or (count == 0 and (level or not root)):
        raise _broken(group)
    found = list(struct.iter_unpack(">II", raw[header : header + 8 * count]))
    pointers = struct.unpack_from(f">{count}I", raw, header + 8 * most) if level else ()
    return found, list(pointers)
