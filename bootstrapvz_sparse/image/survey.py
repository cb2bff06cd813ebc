"""Find out from metadata alone where everything lies in an image: nothing is written."""

from __future__ import annotations

import os
from functools import cached_property
from typing import NamedTuple

from . import partitions
from .extents import (
    Ranges,
    align_inwards,
    allocated,
    complement,
    data,
    difference,
    intersection,
    union,
)
from .fiemap import extents
from .filesystems import FreeSpace, NeedsRecovery, UntrustedMetadata, find_free_space
from .guards import Suspect, judge
from .partitions import Partition, Table
from .view import FileMap, Map, window


class Region(NamedTuple):
    """A partition and the free space of its filesystem.

    ``skip_reason``: why nothing in it counts as free; "" if that is not so. ``needs_recovery``:
    the filesystem was not unmounted. ``guarded``: others than the filesystem need its bytes.
    """

    partition: Partition
    free_space: FreeSpace = FreeSpace()
    skip_reason: str = ""
    needs_recovery: bool = False
    guarded: bool = False

    def skipped(self, reason: str) -> Region:
        """Return the region without free space, for ``reason``."""
        return Region(self.partition, skip_reason=reason)


class Allocation(NamedTuple):
    """The blocks of the image file that the build filesystem has allocated.

    ``allocated``: bytes, from ``st_blocks``. ``data``: ranges that may hold data. ``unwritten``:
    ranges that were never written and read as zeros; None if the filesystem does not list its
    extents. ``shared``: ranges in blocks that other files have, too. ``beyond``: bytes allocated
    behind the end of the file.
    """

    allocated: int
    data: Ranges
    unwritten: Ranges | None
    shared: Ranges
    beyond: int = 0


class Facts(NamedTuple):
    """An image of ``size`` bytes on a filesystem with blocks of ``block`` bytes."""

    size: int
    block: int
    table: Table
    regions: tuple[Region, ...]
    allocation: Allocation


class Survey(Facts):
    """The facts, and the ranges that follow from them."""

    @property
    def allocated(self) -> int:
        """Bytes that the image occupies."""
        return self.allocation.allocated

    @property
    def data(self) -> Ranges:
        """Ranges that may hold data."""
        return self.allocation.data

    @cached_property
    def free(self) -> Ranges:
        """The bytes that no filesystem needs, allocated or not."""
        each = [region.free_space for region in self.regions]
        return union(
            *(ranges for space in each for ranges in (space.free, space.journal, space.swap))
        )

    @cached_property
    def freeable(self) -> Ranges:
        """The whole blocks that can be freed unread."""
        never_written = self.allocation.unwritten
        if never_written is None:  # any hole may be one
            never_written = complement(self.data, self.size)
        return align_inwards(union(self.free, never_written), self.block, self.size)

    @cached_property
    def to_read(self) -> Ranges:
        """The allocated blocks that must be read to know whether they are zero."""
        return difference(self.data, self.freeable)

    @cached_property
    def treat_as_zero(self) -> Ranges:
        """The parts of ``to_read`` that no filesystem needs."""
        return intersection(self.free, self.to_read)


def survey(fd: int, size: int, *, reclaim: bool = True) -> Survey:
    """Survey the image; without ``reclaim`` no free space is looked for.

    The partition table is read once, and each partition is examined once.

    :raises OSError: the image cannot be read
    """
    image = FileMap(fd, size)
    table = partitions.read(fd, size)
    regions = [_region(image, partition, reclaim) for partition in table.partitions]
    if reclaim and regions:
        regions = _guarded(image, fd, table, regions)
    return Survey(
        size=size,
        block=os.fstatvfs(fd).f_frsize,
        table=table,
        regions=tuple(regions),
        allocation=allocation(fd, size),
    )


def _guarded(image: Map, fd: int, table: Table, regions: list[Region]) -> list[Region]:
    """Return the regions without the free space that others than the filesystem may need."""
    suspects = [_suspect(image, region) for region in regions]
    verdict = judge(image, fd, suspects, table.signature)
    guarded = []
    for region in regions:
        partition = region.partition
        reason = verdict.everything or verdict.partitions.get(partition.number, "")
        if reason:
            own_reason = region.skip_reason if region.needs_recovery else partition.skip_reason
            region = Region(
                partition,
                skip_reason=own_reason or reason,
                needs_recovery=region.needs_recovery,
                guarded=True,
            )
        guarded.append(region)
    return guarded


def _suspect(image: Map, region: Region) -> Suspect:
    partition = region.partition
    return Suspect(
        number=partition.number,
        where=map_of(image, partition),
        kind=partition.filesystem,
        type_code=partition.type_code,
        table=partition.table,
        dirty=region.skip_reason if region.needs_recovery else "",
    )


def allocation(fd: int, size: int) -> Allocation:
    """Return which blocks of the file are allocated now.

    :raises OSError: the image cannot be read
    """
    listed = extents(fd, size)
    for start, end in listed.unwritten if listed else []:
        # pages of them that were read are reported as data while they are cached
        os.posix_fadvise(fd, start, end - start, os.POSIX_FADV_DONTNEED)
    written = list(data(fd, size))
    return Allocation(
        allocated=allocated(os.fstat(fd)),
        data=written,
        unwritten=difference(listed.unwritten, written) if listed else None,
        shared=listed.shared if listed else [],
        beyond=listed.beyond if listed else 0,
    )


def map_of(image: Map, partition: Partition) -> Map:
    """Return the bytes of the partition."""
    return window(image, partition.start, partition.end)


def _region(image: Map, partition: Partition, reclaim: bool) -> Region:
    if partition.skip_reason:
        return Region(partition, skip_reason=partition.skip_reason)
    if not reclaim or (partition.boot_code and not partition.filesystem):
        return Region(partition)
    try:
        space = find_free_space(partition.filesystem, map_of(image, partition))
    except UntrustedMetadata as reason:
        dirty = isinstance(reason, NeedsRecovery)
        return Region(partition, skip_reason=str(reason), needs_recovery=dirty)
    return Region(partition, space)
