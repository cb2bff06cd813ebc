"""Free blocks, from the free-space trees of all allocation groups."""

from __future__ import annotations

from ...extents import (
    Range,
    Ranges,
    intersection,
    total,
    union,
)
from ..free_space import UntrustedMetadata
from .features import RMAPBT
from .groups import Group, read_group
from .layout import Filesystem
from .trees import (
    BY_PLACE,
    BY_SIZE,
    Record,
    read_tree,
)


def free_blocks(fs: Filesystem, newest: int) -> Ranges:
    """Ranges of the block numbers that are free.

    :param newest: the log's last sequence number; metadata that is newer is not trusted
    """
    fs.verify_lsn(fs.lsn, "the superblock", newest)
    free: Ranges = []
    counted = 0
    for number in range(fs.group_count):
        group = read_group(fs, number, newest)
        found, tree_blocks = _free_of(fs, group, newest)
        start = number * fs.group_blocks
        free += [(start + a, start + b) for a, b in found]
        # blocks of these trees were free once, and will be again: the superblock counts them
        counted += group.free + len(group.spare) + tree_blocks
    if counted != fs.free:
        raise UntrustedMetadata(f"{counted} blocks are free, and the superblock says {fs.free}")
    return union(free)


def _free_of(fs: Filesystem, group: Group, newest: int) -> tuple[Ranges, int]:
    """Ranges of the group's own block numbers; blocks of its trees as ``Group.tree_blocks``."""
    by_place, place_blocks = read_tree(fs, group, BY_PLACE, newest)
    by_size, size_blocks = read_tree(fs, group, BY_SIZE, newest)
    if sorted((count, start) for start, count in by_place) != [
        (count, start) for start, count in by_size
    ]:
        raise UntrustedMetadata(f"the free-space trees of group {group.number} do not agree")
    free = _ranges(fs, group, by_place)
    longest = by_size[-1][1] if by_size else 0
    if (total(free), longest) != (group.free, group.longest):
        raise UntrustedMetadata(
            f"group {group.number} has {total(free)} free blocks in its trees and "
            f"{group.free} in its AGF, the longest extents {longest} and {group.longest}"
        )
    owners = group.owner_blocks - 1 if fs.features.has(RMAPBT) else 0
    tree_blocks = len(place_blocks) + len(size_blocks) - 2 + owners
    # without lazy-count the AGF does not say
    if fs.features.lazy_count and tree_blocks != group.tree_blocks:
        raise UntrustedMetadata(
            f"the trees of group {group.number} are not as large as its AGF says"
        )
    used = _used(fs, group, [*place_blocks, *size_blocks, *group.other_roots, *group.spare])
    if intersection(free, used):
        raise UntrustedMetadata(f"group {group.number} calls its metadata free")
    return free, tree_blocks


def _ranges(fs: Filesystem, group: Group, records: list[Record]) -> Ranges:
    previous = fs.first - 1  # no two extents touch, but the first one may touch the headers
    for start, count in records:
        if start <= previous or count < 1 or start + count > group.length:
            raise UntrustedMetadata(f"the free extents of group {group.number} are not in order")
        previous = start + count
    return [(start, start + count) for start, count in records]


def _used(fs: Filesystem, group: Group, blocks: list[int]) -> Ranges:
    """All of the group whose use is known: headers, ``blocks``, and the log if it is there."""
    start = group.number * fs.group_blocks
    used: list[Range] = [(0, fs.first), *((block, block + 1) for block in blocks)]
    if start <= fs.log[0] < start + group.length:
        used.append((fs.log[0] - start, fs.log[1] - start))
    merged = union(used)
    if merged[-1][1] > group.length or total(merged) != total(used):
        raise UntrustedMetadata(f"metadata of group {group.number} overlaps, or lies outside it")
    return merged
