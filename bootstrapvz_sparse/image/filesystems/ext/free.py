"""Free blocks, from the block bitmaps."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator

from ...extents import (
    Range,
    Ranges,
    complement,
    union,
)
from ..checksums import crc32c
from ..free_space import UntrustedMetadata
from .layout import BG_BLOCK_UNINIT, Filesystem, Group

MAX_BITMAPS_READ = 256  # blocks
DESC_SIZE_64BIT = 64  # bg_block_bitmap_csum_hi is there


def free_blocks(fs: Filesystem) -> Ranges:
    """Return the ranges of block numbers that the bitmaps mark as free.

    :raises UntrustedMetadata: bitmaps, counts, checksums and metadata do not agree
    """
    geometry = fs.geometry
    metadata_starts = [start for start, _ in fs.metadata]
    free: Ranges = []
    free_clusters = 0
    for group, bitmap in _bitmaps(fs):
        first = fs.first_block(group.number)
        last = min(first + geometry.blocks_per_group, geometry.blocks_count)
        if bitmap is None:
            blocks = _outside_metadata(fs, metadata_starts, first, last)
        else:
            blocks = _unset(fs, group, bitmap, first, last)
            if _overlap(blocks, fs.metadata, metadata_starts):
                raise UntrustedMetadata(
                    f"group {group.number}: the block bitmap marks metadata as free"
                )
        clusters = sum(-(-(end - start) // geometry.cluster_ratio) for start, end in blocks)
        if clusters != group.free_clusters:
            raise UntrustedMetadata(
                f"group {group.number}: {clusters} clusters are free in the bitmap, "
                f"{group.free_clusters} in the descriptor"
            )
        free_clusters += clusters
        free += blocks
    free_count = free_clusters * geometry.cluster_ratio  # the superblock counts blocks
    if free_count != geometry.free_blocks_count:
        raise UntrustedMetadata(
            f"{free_count} blocks are free in the groups, "
            f"{geometry.free_blocks_count} in the superblock"
        )
    return union(free)


def _bitmaps(fs: Filesystem) -> Iterator[tuple[Group, bytes | None]]:
    """Return each group with its block bitmap, None if the bitmap was never written."""
    block_size = fs.geometry.block_size
    ahead: dict[int, bytes] = {}
    numbers = sorted(g.block_bitmap for g in fs.groups if not g.flags & BG_BLOCK_UNINIT)
    runs = union((number, number + 1) for number in numbers)
    for group in fs.groups:
        if group.flags & BG_BLOCK_UNINIT:
            yield group, None
            continue
        if group.block_bitmap not in ahead:
            # flex_bg puts the bitmaps of many groups side by side: one read for all
            place = bisect.bisect_right(runs, (group.block_bitmap, fs.geometry.blocks_count))
            count = min(runs[place - 1][1] - group.block_bitmap, MAX_BITMAPS_READ)
            raw = fs.read(group.block_bitmap * block_size, count * block_size)
            ahead.update(
                (group.block_bitmap + i, raw[i * block_size : (i + 1) * block_size])
                for i in range(count)
            )
        yield group, ahead.pop(group.block_bitmap)


def _unset(fs: Filesystem, group: Group, bitmap: bytes, first: int, last: int) -> Ranges:
    """Return the blocks of the group ``[first, last)`` that have no bit set."""
    ratio = fs.geometry.cluster_ratio
    if fs.metadata_csum:
        expected = crc32c(bitmap[: fs.geometry.clusters_per_group // 8], fs.csum_seed)
        if fs.geometry.desc_size < DESC_SIZE_64BIT:
            expected &= 0xFFFF
        if expected != group.block_bitmap_csum:
            raise UntrustedMetadata(f"wrong checksum of the block bitmap of group {group.number}")
    clusters = -(-(last - first) // ratio)
    return [
        (first + start * ratio, min(first + end * ratio, last))
        for start, end in _unset_bits(bitmap[: -(-clusters // 8)], clusters)
    ]


def _outside_metadata(fs: Filesystem, metadata_starts: list[int], first: int, last: int) -> Ranges:
    """Return the blocks of the whole clusters of ``[first, last)`` that no metadata touches."""
    metadata, ratio = fs.metadata, fs.geometry.cluster_ratio
    index = max(bisect.bisect_right(metadata_starts, first) - 1, 0)
    used: Ranges = []
    while index < len(metadata) and metadata[index][0] < last:
        start = max(metadata[index][0], first) - first
        end = min(metadata[index][1], last) - first
        if start < end:
            used.append((start // ratio * ratio, end + -end % ratio))
        index += 1
    if not used:  # most groups of flex_bg
        return [(first, last)]
    return [(first + start, first + end) for start, end in complement(union(used), last - first)]


def _overlap(ranges: Ranges, metadata: Ranges, metadata_starts: list[int]) -> bool:
    for start, end in ranges:
        index = bisect.bisect_left(metadata_starts, end) - 1
        if index >= 0 and metadata[index][1] > start:
            return True
    return False


_ZEROS = re.compile("0+")


def _unset_bits(bitmap: bytes, count: int) -> Iterator[Range]:
    """Return the runs of zero bits among the first ``count``, the least significant bit first."""
    # a number's binary digits as text, lowest first, searched by the regular expression engine
    sentinel = 1 << (8 * len(bitmap))
    digits = bin(int.from_bytes(bitmap, "little") | sentinel)[:2:-1][:count]
    return (match.span() for match in _ZEROS.finditer(digits))
