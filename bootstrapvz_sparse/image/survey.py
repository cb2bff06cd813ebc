"""What an image consists of, told from metadata alone: no data is read, nothing is written."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any, NamedTuple

from . import partitions
from .extents import (
    Ranges,
    align_inwards,
    allocated,
    complement,
    data,
    difference,
    intersection,
    total,
    union,
)
from .fiemap import extents
from .filesystems import FreeSpace, UntrustedMetadata, find_free_space
from .partitions import Partition, Table
from .view import FileMap, Map, window


class Region(NamedTuple):
    """A partition, and what its filesystem does not need; ``trouble``: why nothing counts so."""

    partition: Partition
    unneeded: FreeSpace = FreeSpace()
    trouble: str = ""


class Facts(NamedTuple):
    """An image of ``size`` bytes, ``allocated`` bytes of them, in blocks of ``block`` bytes.

    ``data`` and ``unwritten`` are what is allocated: what may hold something, and what was never
    written and reads as zeros; None where the filesystem does not list its extents. ``shared``
    are those of them that other files have, too.
    """

    size: int
    allocated: int
    block: int
    table: Table
    regions: tuple[Region, ...]
    data: Ranges
    unwritten: Ranges | None
    shared: Ranges


class Survey(Facts):
    """The facts, and what follows from them."""

    @cached_property
    def unneeded(self) -> Ranges:
        """All that nobody will read, allocated or not."""
        each = [region.unneeded for region in self.regions]
        return union(*(ranges for u in each for ranges in (u.free, u.journal, u.swap)))

    @cached_property
    def whole_blocks_unneeded(self) -> Ranges:
        """The blocks that can be freed without looking at what they hold."""
        never_written = self.unwritten
        if never_written is None:  # any hole may be one
            never_written = complement(self.data, self.size)
        return align_inwards(union(self.unneeded, never_written), self.block, self.size)

    @cached_property
    def to_read(self) -> Ranges:
        """The blocks that have to be looked at: all others that are allocated."""
        return difference(self.data, self.whole_blocks_unneeded)

    @cached_property
    def blank(self) -> Ranges:
        """Those parts of ``to_read`` that nobody needs."""
        return intersection(self.unneeded, self.to_read)


def survey(fd: int, size: int, *, reclaim: bool = True) -> Survey:
    """Tell what the image consists of; nothing is called unneeded unless ``reclaim``.

    :raises OSError: the image cannot be read
    """
    table = partitions.read(fd, size)
    image = FileMap(fd, size)
    regions = tuple(_region(image, partition, reclaim) for partition in table.partitions)
    return Survey(
        size=size,
        block=os.fstatvfs(fd).f_frsize,
        table=table,
        regions=regions,
        **_allocation(fd, size),
    )


def allocation_anew(found: Survey, fd: int) -> Survey:
    """The survey, with what is allocated now; what lies where is not read again.

    :raises OSError: the image cannot be read
    """
    return found._replace(**_allocation(fd, found.size))


def _allocation(fd: int, size: int) -> dict[str, Any]:
    """The facts that change when blocks are freed."""
    listed = extents(fd, size)
    for start, end in listed.unwritten if listed else []:
        # pages of them that were read are reported as data while they are cached
        os.posix_fadvise(fd, start, end - start, os.POSIX_FADV_DONTNEED)
    written = list(data(fd, size))
    return {
        "allocated": allocated(os.fstat(fd)),
        "data": written,
        "unwritten": difference(listed.unwritten, written) if listed else None,
        "shared": listed.shared if listed else [],
    }


def _region(image: Map, partition: Partition, reclaim: bool) -> Region:
    if partition.trouble:
        return Region(partition, trouble=partition.trouble)
    if not reclaim or (partition.boot_code and not partition.filesystem):
        return Region(partition)
    try:
        where = window(image, partition.start, partition.end)
        found = find_free_space(partition.filesystem, where)
    except UntrustedMetadata as reason:
        return Region(partition, trouble=str(reason))
    return Region(partition, found)


# What a byte of an image can be. All but a hole are allocated.
KINDS = ("in use", "zero", "free", "journal", "swap", "unwritten", "hole")


class Share(NamedTuple):
    """A part of an image: a region, or with ``region`` None what lies outside of them all.

    ``kinds``: for each of :data:`KINDS` its bytes; together they are the whole part. ``lost``:
    those of free, journal and swap that no whole block of the filesystem below holds, since the
    part does not begin on one or its own blocks are smaller: they cannot become holes.
    """

    region: Region | None
    kinds: dict[str, Ranges]
    lost: Ranges

    def amounts(self) -> dict[str, int]:
        """Bytes of each kind, and those that are lost."""
        return {
            **{kind: total(ranges) for kind, ranges in self.kinds.items()},
            "lost": total(self.lost),
        }


class Plan:
    """A survey, and the blocks of zeros among what is in use: all that can become holes."""

    def __init__(self, survey: Survey, zero: Ranges) -> None:
        self.survey, self.zero = survey, zero

    @cached_property
    def holes(self) -> Ranges:
        """The whole blocks that need no space."""
        return union(self.survey.whole_blocks_unneeded, self.zero)

    @cached_property
    def gain(self) -> int:
        """Bytes that are allocated and need not be."""
        survey = self.survey
        written = total(intersection(survey.data, self.holes))
        if survey.unwritten is None:
            return written + max(survey.allocated - total(survey.data), 0)
        return written + total(intersection(survey.unwritten, self.holes))

    def shares(self, *, after: bool = False) -> list[Share]:
        """The image by partitions, and what lies outside of them where there is anything.

        ``after``: as it is once all of ``holes`` are punched.
        """
        survey = self.survey
        sound = [region for region in survey.regions if region.partition.end <= survey.size]
        shares = [self._share([(r.partition.start, r.partition.end)], r) for r in sound]
        outside = complement(
            union((r.partition.start, r.partition.end) for r in sound), survey.size
        )
        shares += [self._share(outside, None)] if outside else []
        return [self._punched(share) for share in shares] if after else shares

    def _punched(self, share: Share) -> Share:
        kept = {kind: difference(share.kinds[kind], self.holes) for kind in KINDS[:-1]}
        punched = (intersection(ranges, self.holes) for ranges in share.kinds.values())
        hole = union(share.kinds["hole"], *punched)
        return share._replace(kinds={**kept, "hole": hole})

    def _share(self, here: Ranges, region: Region | None) -> Share:
        survey = self.survey
        unneeded = region.unneeded if region else FreeSpace()
        never_written = intersection(survey.unwritten or [], here)
        written = intersection(survey.data, here)
        journal, swap, free = (
            intersection(written, ranges)
            for ranges in (unneeded.journal, unneeded.swap, unneeded.free)
        )
        gone = union(journal, swap, free)
        zero = intersection(difference(self.zero, gone), here)
        kinds = (
            difference(difference(written, gone), zero),
            zero,
            free,
            journal,
            swap,
            never_written,
            difference(here, union(written, never_written)),
        )
        return Share(region, dict(zip(KINDS, kinds)), lost=difference(gone, self.holes))
