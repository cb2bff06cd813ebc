"""Free blocks, from the free-space trees of all allocation groups."""

from __future__ import annotations

from ...extents import Range, Ranges, intersection, total, union
from ..free_space import UntrustedMetadata
from .features import RO_COMPAT_RMAPBT
from .groups import Group, read_group
from .layout import Filesystem
from .structs import AllocRec
from .trees import by_place, by_size, read_tree


def free_blocks(fs: Filesystem, head_lsn: int) -> Ranges:
    """Return the ranges of block numbers that are free.

    :param head_lsn: the last log sequence number; newer metadata is not trusted
    :raises UntrustedMetadata: trees, headers and counts do not agree
    """
    fs.verify_lsn(fs.lsn, "the superblock", head_lsn)
    geometry = fs.geometry
    free: Ranges = []
    free_count = 0
    for number in range(geometry.agcount):
        group = read_group(fs, number, head_lsn)
        group_free, tree_blocks = _free_in_group(fs, group, head_lsn)
        start = number * geometry.agblocks
        free += [(start + a, start + b) for a, b in group_free]
        # the superblock counts the blocks of these trees: they were free, and will be again
        free_count += group.agf.agf_freeblks + len(group.free_list) + tree_blocks
    if free_count != geometry.fdblocks:
        raise UntrustedMetadata(
            f"{free_count} blocks are free in the groups, {geometry.fdblocks} in the superblock"
        )
    return union(free)


def _free_in_group(fs: Filesystem, group: Group, head_lsn: int) -> tuple[Ranges, int]:
    """Return ranges of the group's own block numbers, and the expected agf_btreeblks."""
    agf = group.agf
    place_records, place_blocks = read_tree(fs, group, by_place(group), head_lsn)
    size_records, size_blocks = read_tree(fs, group, by_size(group), head_lsn)
    if sorted((count, start) for start, count in place_records) != [
        (count, start) for start, count in size_records
    ]:
        raise UntrustedMetadata(f"the free-space trees of group {group.number} do not agree")
    free = _ranges(fs, group, place_records)
    longest = size_records[-1][1] if size_records else 0
    if (total(free), longest) != (agf.agf_freeblks, agf.agf_longest):
        raise UntrustedMetadata(
            f"group {group.number}: {total(free)} blocks are free in the trees, "
            f"{agf.agf_freeblks} in the AGF; the longest extents are {longest} and "
            f"{agf.agf_longest}"
        )
    rmap_blocks = agf.agf_rmap_blocks - 1 if fs.features.has(RO_COMPAT_RMAPBT) else 0
    tree_blocks = len(place_blocks) + len(size_blocks) - 2 + rmap_blocks  # without the roots
    # without lazy-count the AGF does not count them
    if fs.features.lazy_count and tree_blocks != agf.agf_btreeblks:
        raise UntrustedMetadata(
            f"group {group.number}: the trees have {tree_blocks} blocks, "
            f"agf_btreeblks is {agf.agf_btreeblks}"
        )
    used = _used(fs, group, [*place_blocks, *size_blocks, *group.other_roots, *group.free_list])
    if intersection(free, used):
        raise UntrustedMetadata(f"group {group.number}: the trees mark metadata as free")
    return free, tree_blocks


def _ranges(fs: Filesystem, group: Group, records: list[AllocRec]) -> Ranges:
    # no two extents touch, but the first one may touch the headers
    previous = fs.geometry.header_blocks - 1
    for start, count in records:
        if start <= previous or count < 1 or start + count > group.length:
            raise UntrustedMetadata(
                f"group {group.number}: invalid free extent of {count} blocks at block {start}"
            )
        previous = start + count
    return [(start, start + count) for start, count in records]


def _used(fs: Filesystem, group: Group, blocks: list[int]) -> Ranges:
    """Return all ranges of the group with a known use: headers, ``blocks``, its part of the log."""
    start = group.number * fs.geometry.agblocks
    log_start, log_end = fs.log
    used: list[Range] = [
        (0, fs.geometry.header_blocks),
        *((block, block + 1) for block in blocks),
    ]
    if start <= log_start < start + group.length:
        used.append((log_start - start, log_end - start))
    merged = union(used)
    if merged[-1][1] > group.length or total(merged) != total(used):
        raise UntrustedMetadata(f"metadata of group {group.number} overlaps, or lies outside it")
    return merged
