"""What ext2, ext3 and ext4 do not need, from the bitmaps in the image and from its journal.

On-disk format: https://docs.kernel.org/filesystems/ext4/ ; names of fields and flags are those
of that page. A filesystem is trusted only when it was cleanly unmounted, has no error and no
journal to replay, has no feature unknown here, and when every checksum and every count of free
blocks agrees. All numbers are little endian, but for those of the journal.
"""

from __future__ import annotations

from ...extents import intersection
from ..free_space import FreeSpace, UntrustedMetadata
from .free import free_blocks
from .journal import journal_log
from .layout import Filesystem

__all__ = ["unneeded"]


def unneeded(fd: int, start: int, end: int) -> FreeSpace:
    """What the ext2/3/4 filesystem between the bytes ``start`` and ``end`` of the image can lose.

    Reads superblock, group descriptors, block bitmaps, and where the journal lies; nothing else.

    :raises UntrustedMetadata: something does not agree; the text says what
    """
    filesystem = Filesystem(fd, start, end)
    free = free_blocks(filesystem)
    journal = journal_log(filesystem)
    if intersection(free, journal):
        raise UntrustedMetadata("blocks of its journal are called free")
    return FreeSpace(
        free=filesystem.to_bytes(free),
        journal=filesystem.to_bytes(journal),
        checksums=filesystem.metadata_csum,
    )
