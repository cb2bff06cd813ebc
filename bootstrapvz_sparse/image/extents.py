"""Handle sets of bytes of a file, as sorted and merged half-open ranges.

A set of bytes is a list of ``(start, end)`` pairs, both in bytes, ``start < end``, in ascending
order, no two of them overlapping or touching.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator

Range = tuple[int, int]
Ranges = list[Range]


def union(*sets: Iterable[Range]) -> Ranges:
    """Return the bytes that are in any of ``sets``; their ranges may be unsorted or overlap."""
    merged: Ranges = []
    for start, end in sorted(pair for ranges in sets for pair in ranges):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            if end > merged[-1][1]:
                merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return merged


def intersection(first: Iterable[Range], second: Iterable[Range]) -> Ranges:
    """Return the bytes that are in both sets.

    Unchanged ranges are returned as the same objects: a million new ones would take 120 MiB.
    """
    common: Ranges = []
    others = iter(second)
    other = next(others, None)
    for one in first:
        start, end = one
        while other and other[1] <= start:
            other = next(others, None)
        while other and other[0] < end:
            if other[0] <= start and end <= other[1]:
                common.append(one)
            elif start <= other[0] and other[1] <= end:
                common.append(other)
            else:
                common.append((max(start, other[0]), min(end, other[1])))
            if other[1] > end:
                break
            other = next(others, None)
        if not other:
            break
    return common


def complement(ranges: Iterable[Range], size: int) -> Ranges:
    """Return the bytes of ``[0, size)`` that are not in ``ranges``."""
    return list(_gaps(ranges, size))


def _gaps(ranges: Iterable[Range], size: int) -> Iterator[Range]:
    position = 0
    for start, end in ranges:
        if start >= size:
            break
        if start > position:
            yield position, start
        position = end
    if position < size:
        yield position, size


def difference(first: Ranges, second: Iterable[Range]) -> Ranges:
    """Return the bytes of ``first`` that are not in ``second``."""
    return intersection(first, _gaps(second, first[-1][1])) if first else []


def align_inwards(ranges: Ranges, block: int, size: int) -> Ranges:
    """Return the whole blocks of ``block`` bytes within ``ranges``.

    The last block of a file of ``size`` bytes counts as whole if the file ends in it.
    """
    aligned: Ranges = []
    for start, end in ranges:
        first = -(-start // block) * block
        last = end if end == size else end // block * block
        if first < last:
            aligned.append((first, last))
    return aligned


def total(ranges: Iterable[Range]) -> int:
    """Return the number of bytes in the ranges."""
    return sum(end - start for start, end in ranges)


def data(fd: int, size: int) -> Iterator[Range]:
    """Yield the ranges of the file that may hold data (``SEEK_DATA``, lseek(2)).

    Allocated blocks that were never written count as holes once the file's pages are clean: call
    ``os.fsync`` before. On a filesystem without holes, all of the file is data.
    """
    position = 0
    while position < size:
        try:
            start = os.lseek(fd, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no more data
                return
            raise
        if start >= size:
            return
        position = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        yield start, position


def allocated(status: os.stat_result) -> int:
    """Return the bytes that the file occupies: ``st_blocks`` counts 512 bytes, stat(2)."""
    return status.st_blocks * 512
