"""Find the free space of an image that may be freed, and let the kernel discard where asked."""

from __future__ import annotations

import os

from ..util.errors import CheckUnavailable, ProgramMissing, Unsupported
from .access import Image
from .checkers import NO_VERDICT, check
from .discard import discard
from .filesystems import KINDS, FreeSpace
from .holes import NO_NEW_FILES, Capabilities, probe, probe_file
from .partitions import Partition
from .survey import Region, Survey, allocation, map_of, survey

RECLAIM = ("auto", "metadata", "discard", "none")  # auto: metadata


def capabilities(image: Image) -> Capabilities:
    """Return what the build filesystem can do with files.

    :raises OSError: it cannot be found out
    """
    try:
        return probe(image.folder or image.path.parent)
    except OSError as error:
        if error.errno not in NO_NEW_FILES:  # a full disk is no reason to give up
            raise
        return probe_file(image.fd)


def find_free(image: Image, reclaim: str) -> Survey:
    """Survey the image; free space counts only where the filesystem's checker agrees.

    Everything that is left alone becomes a note of the image.

    :raises OSError: the image cannot be read
    """
    surveyed = survey(image.fd, image.size, reclaim=reclaim != "none")
    if surveyed.table.skip_reason:
        image.notes.append(f"only zero blocks can be freed: {surveyed.table.skip_reason}")
    regions = tuple(_checked(image, region) for region in surveyed.regions)
    for region in regions:
        if reclaim != "none" and region.skip_reason and not _to_discard(region, reclaim):
            image.notes.append(left_alone(region))
    return surveyed._replace(regions=regions)


def left_alone(region: Region) -> str:
    """Return the note for a region with free space that is not freed."""
    return f"{region.partition}: free space left alone: {region.skip_reason}"


def _checked(image: Image, region: Region) -> Region:
    """Return the region, without free space unless the checker finds nothing wrong.

    Damage that checksums do not show, such as bitmaps of another day, shows in files in blocks
    that are called free. A checker that cannot run has not agreed.
    """
    space = region.free_space
    if region.skip_reason or not (space.free or space.journal):
        return region
    try:
        kind = region.partition.filesystem
        complaint = check(map_of(image.map, region.partition), kind, image.fd).complaint
    except NO_VERDICT as reason:
        return region.skipped(f"not checked: {reason}")
    return region.skipped(complaint) if complaint else region


def to_discard(surveyed: Survey, reclaim: str) -> tuple[Partition, ...]:
    """Return the partitions that the kernel shall discard: only where ``reclaim`` asks for it."""
    return tuple(r.partition for r in surveyed.regions if _to_discard(r, reclaim))


def _to_discard(region: Region, reclaim: str) -> bool:
    kind = KINDS.get(region.partition.filesystem)
    if reclaim != "discard" or not (kind and kind.discardable):
        return False
    if region.guarded or region.partition.skip_reason:
        return False
    return not region.skip_reason or kind.reader is None


def would_discard(image: Image, surveyed: Survey, reclaim: str) -> Survey:
    """Return the survey for a dry run: note what the kernel would discard."""
    for partition in to_discard(surveyed, reclaim):
        image.notes.append(f"{partition}: the kernel would discard its free blocks")
    return _without_free_space(surveyed) if reclaim == "discard" else surveyed


def discard_free(image: Image, surveyed: Survey, reclaim: str, can: Capabilities) -> Survey:
    """Let the kernel discard free blocks where ``reclaim`` asks for it; return the survey then.

    :raises OSError: the image cannot be read
    """
    if reclaim != "discard":
        return surveyed
    for partition in to_discard(surveyed, reclaim):
        try:
            if not can.punch:  # mounting alone would change it
                raise Unsupported("the build filesystem cannot punch holes into files")
            discard(image, partition)
        except (Unsupported, ProgramMissing, CheckUnavailable) as reason:
            image.notes.append(f"{partition}: free space left alone: {reason}")
    os.fsync(image.fd)
    return _without_free_space(surveyed._replace(allocation=allocation(image.fd, image.size)))


def _without_free_space(surveyed: Survey) -> Survey:
    regions = tuple(region._replace(free_space=FreeSpace()) for region in surveyed.regions)
    return surveyed._replace(regions=regions)
