"""Judge whether bytes that changed in a damaged image had been in use."""

from __future__ import annotations

from pathlib import Path

from . import oracle
from .oracle import Ranges
from .pristine import Base

BLKID = {"ext2": "ext", "ext3": "ext", "ext4": "ext", "xfs": "xfs", "swap": "swap"}


def common(first: Ranges, second: Ranges) -> Ranges:
    """Return the intersection."""
    return [(max(a, c), min(b, d)) for a, b in first for c, d in second if max(a, c) < min(b, d)]


def total(ranges: Ranges) -> int:
    return sum(end - start for start, end in ranges)


def lost(image: Path, base: Base, changed: Ranges, scratch: Path) -> tuple[int, str]:
    """Return how many of the bytes ``changed`` were in use, and their owner.

    ``image`` is damaged and as it was before. Where the checker of a filesystem finds nothing, the
    filesystem is right about what is in use; where it does, it and the sound image are both asked.
    """
    size = image.stat().st_size
    parts = oracle.partitions(image) or [(0, size)]
    count, whose = 0, []
    for start, end, within in _split(changed, sorted(parts)):
        if within is None:
            count += end - start
            whose.append("no partition")
    for first, last in parts:
        here = [(start, end) for start, end, within in _split(changed, parts) if within == first]
        if here:
            number, owner = _lost_of(image, base, first, min(last, size), here, scratch)
            count += number
            whose += [owner] if number else []
    return count, ", ".join(dict.fromkeys(whose))


def _split(changed: Ranges, parts: Ranges) -> list[tuple[int, int, int | None]]:
    """The ranges by partitions: each with where its own begins, the innermost."""
    edges = sorted({edge for part in parts for edge in part})
    found = []
    for start, end in changed:
        cuts = [start, *(edge for edge in edges if start < edge < end), end]
        for left, right in zip(cuts, cuts[1:]):
            within = [a for a, b in parts if a <= left and right <= b]
            found.append((left, right, max(within, default=None)))
    return found


def _lost_of(
    image: Path, base: Base, first: int, last: int, changed: Ranges, scratch: Path
) -> tuple[int, str]:
    """The same of the partition between two bytes."""
    with image.open("rb") as file, scratch.open("wb") as out:
        file.seek(first)
        out.write(file.read(last - first))
    kind = BLKID.get(oracle.said("blkid", "-p", "-s", "TYPE", "-o", "value", scratch)[1].strip())
    if kind is None:
        return total(changed), "an unknown partition"
    here = [(start - first, end - first) for start, end in changed]
    if oracle.sound(scratch, kind):
        try:
            in_use = common(here, oracle.used(scratch, kind))
        except oracle.Unreadable:
            return total(here), f"{kind} that cannot be read"
        return total(in_use), f"a sound {kind}{_owner(scratch, kind, in_use)}"
    if oracle.pending(scratch, kind):
        return total(here), f"{kind} with a log to be replayed"
    in_use = common(changed, base.used)
    known = [(start - first, end - first) for start, end in in_use]
    owner = _owner(scratch, kind, known or here)
    if owner and not in_use:
        return total(here), f"a damaged {kind}{owner}"
    return total(in_use), f"a damaged {kind}{owner}"


def _owner(path: Path, kind: str, ranges: Ranges) -> str:
    """The first inode of an ext filesystem that has some of it, in words."""
    if kind != "ext" or not ranges:
        return ""
    block = oracle.block_size(path)
    blocks = [n for start, end in ranges for n in range(start // block, -(-end // block))]
    for number, inode in oracle.owners(path, blocks).items():
        return f", inode {inode} at block {number}"
    return ""
