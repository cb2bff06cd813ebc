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
from .layout import BLOCK_UNINIT, Filesystem, Group


def free_blocks(fs: Filesystem) -> Ranges:
    """Ranges of the block numbers that the bitmaps call free."""
    starts = [start for start, _ in fs.metadata]
    free: Ranges = []
    counted = 0
    for group, bitmap in _bitmaps(fs):
        first = fs.first_block(group.number)
        last = min(first + fs.per_group, fs.blocks)
        if bitmap is None:
            found = _all_but(fs, starts, first, last)
        else:
            found = _unset(fs, group, bitmap, first, last)
            if _overlap(found, fs.metadata, starts):
                raise UntrustedMetadata(f"group {group.number} calls its metadata free")
        clusters = sum(-(-(end - start) // fs.cluster) for start, end in found)
        if clusters != group.free:
            raise UntrustedMetadata(
                f"group {group.number} has {clusters} free clusters in its bitmap and "
                f"{group.free} in its descriptor"
            )
        counted += clusters
        free += found
    if counted * fs.cluster != fs.free:  # the superblock counts blocks
        raise UntrustedMetadata(
            f"{counted * fs.cluster} blocks are free, and the superblock says {fs.free}"
        )
    return union(free)


def _bitmaps(fs: Filesystem) -> Iterator[tuple[Group, bytes | None]]:
    """Each group with its block bitmap, or None where none was ever written."""
    ahead: dict[int, bytes] = {}
    blocks = sorted(g.block_bitmap for g in fs.groups if not g.flags & BLOCK_UNINIT)
    runs = union((block, block + 1) for block in blocks)
    for group in fs.groups:
        if group.flags & BLOCK_UNINIT:
            yield group, None
            continue
        if group.block_bitmap not in ahead:
            # flex_bg puts the bitmaps of many groups side by side: one reading for all
            run = runs[bisect.bisect_right(runs, (group.block_bitmap, fs.blocks)) - 1]
            length = min(run[1] - group.block_bitmap, 256)
            raw = fs.read(group.block_bitmap * fs.block, length * fs.block)
            ahead.update(
                (group.block_bitmap + i, raw[i * fs.block : (i + 1) * fs.block])
                for i in range(length)
            )
        yield group, ahead.pop(group.block_bitmap)


def _unset(fs: Filesystem, group: Group, bitmap: bytes, first: int, last: int) -> Ranges:
    """Blocks of the group ``[first, last)`` whose bit is not set."""
    if fs.metadata_csum:
        expected = crc32c(bitmap[: fs.clusters_per_group // 8], fs.seed)
        if fs.descriptor < 64:
            expected &= 0xFFFF
        if expected != group.bitmap_checksum:
            raise UntrustedMetadata(f"wrong checksum of the block bitmap of group {group.number}")
    clusters = -(-(last - first) // fs.cluster)
    return [
        (first + start * fs.cluster, min(first + end * fs.cluster, last))
        for start, end in _unset_bits(bitmap[: -(-clusters // 8)], clusters)
    ]


def _all_but(fs: Filesystem, starts: list[int], first: int, last: int) -> Ranges:
    """Blocks of the whole clusters of ``[first, last)`` that no metadata touches."""
    metadata = fs.metadata
    index = max(bisect.bisect_right(starts, first) - 1, 0)
    used: Ranges = []
    while index < len(metadata) and metadata[index][0] < last:
        start = max(metadata[index][0], first) - first
        end = min(metadata[index][1], last) - first
        if start < end:
            used.append((start // fs.cluster * fs.cluster, end + -end % fs.cluster))
        index += 1
    return [(first + start, first + end) for start, end in complement(union(used), last - first)]


def _overlap(ranges: Ranges, metadata: Ranges, starts: list[int]) -> bool:
    for start, end in ranges:
        index = bisect.bisect_left(starts, end) - 1
        if index >= 0 and metadata[index][1] > start:
            return True
    return False


_ZEROS = re.compile("0+")


def _unset_bits(bitmap: bytes, count: int) -> Iterator[Range]:
    """Runs of zero bits among the first ``count``, the least significant bit of a byte first."""
    # a number's binary digits as text, lowest first, searched by the regular expression engine
    sentinel = 1 << (8 * len(bitmap))
    digits = bin(int.from_bytes(bitmap, "little") | sentinel)[:2:-1][:count]
    return (match.span() for match in _ZEROS.finditer(digits))
