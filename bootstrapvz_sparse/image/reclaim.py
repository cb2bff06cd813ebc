"""What comes before blocks are freed: the survey, doubts as notes, the kernel's part of it."""

from __future__ import annotations

import os

from .access import Image
from .checkers import NO_VERDICT
from .discard import MOUNTABLE, NotDiscarded, discard
from .filesystems import READERS, FreeSpace
from .holes import (
    NO_NEW_FILES,
    Capabilities,
    probe,
    probe_file,
)
from .partitions import Partition
from .survey import (
    Region,
    Survey,
    allocation_anew,
    survey,
)
from .verify import check

RECLAIM = ("auto", "metadata", "discard", "none")


def capabilities(image: Image) -> Capabilities:
    """What files can do where the image lies.

    :raises OSError: it cannot be found out
    """
    try:
        return probe(image.path.parent)
    except OSError as error:
        if error.errno not in NO_NEW_FILES:  # a full disk is what we are here for
            raise
        return probe_file(image.fd)


def prepare(image: Image, reclaim: str) -> Survey:
    """The survey to act on; what is left alone becomes a note of the image.

    A filesystem's own checker has to agree with the reader that it is in order.

    :raises OSError: the image cannot be read
    """
    found = survey(image.fd, image.size, reclaim=reclaim != "none")
    if found.table.trouble:
        image.notes.append(f"only blocks of zeros become holes: {found.table.trouble}")
    regions = [_checked(image, region) for region in found.regions]
    for region in regions:
        if reclaim != "none" and region.trouble and not _to_discard(region, reclaim):
            image.notes.append(f"{region.partition}: free blocks left alone: {region.trouble}")
    return found._replace(regions=tuple(regions))


def discard_free(image: Image, found: Survey, reclaim: str, can: Capabilities | None) -> Survey:
    """Let the kernel discard what is its part of ``reclaim``; the survey afterwards.

    Nothing is done where ``can`` is None: a dry run.

    :raises OSError: the image cannot be read
    """
    regions = list(found.regions)
    discarded = False
    for index, region in enumerate(regions):
        if not _to_discard(region, reclaim):
            continue
        if can is None:
            image.notes.append(f"{region.partition}: its free blocks would be discarded (FITRIM)")
            continue
        try:
            _discard(image, region.partition, can)
        except NotDiscarded as reason:
            image.notes.append(f"{region.partition}: free blocks left alone: {reason}")
        else:
            regions[index], discarded = Region(region.partition), True
    if discarded:
        os.fsync(image.fd)
        found = allocation_anew(found, image.fd)
    if reclaim == "discard":
        regions = [region._replace(unneeded=FreeSpace()) for region in regions]
    return found._replace(regions=tuple(regions))


def _to_discard(region: Region, reclaim: str) -> bool:
    """Whether the kernel is to be asked: instead of a reader that trusts it, or for want of one."""
    kind = region.partition.filesystem
    if kind in READERS:
        return reclaim == "discard" and not region.trouble and kind != "swap"
    return reclaim in ("auto", "discard") and kind in MOUNTABLE and not region.partition.trouble


def _discard(image: Image, partition: Partition, can: Capabilities) -> None:
    if not can.punch:  # mounting alone would change it
        raise NotDiscarded("holes cannot be punched into files here")
    discard(image, partition)


def _checked(image: Image, region: Region) -> Region:
    """The region, of which nothing is called free where its checker finds it broken.

    Damage that checksums do not show, such as two wrong bits of a bitmap without one, or bitmaps of
    another day, shows in files whose blocks are called free: to find that is what checkers are for.
    """
    if region.trouble or not (region.unneeded.free or region.unneeded.journal):
        return region
    try:
        wrong = check(image.fd, region.partition)
    except NO_VERDICT as reason:
        if region.unneeded.checksums:
            return region
        wrong = f"there are no checksums in it, and nobody to check it: {reason}"
    return Region(region.partition, trouble=wrong) if wrong else region
