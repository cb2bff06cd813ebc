"""What XFS does not need, from the free-space trees in the image.

On-disk format: "XFS Algorithms & Data Structures", https://docs.kernel.org/filesystems/xfs/ ;
names of fields and flags are those of that book. A filesystem is trusted only when its log ends
with the record of a clean unmount, it has no feature unknown here, and when every checksum, both
free-space trees of each allocation group and every count of free blocks agree. All numbers are
big endian, but for the checksums.
"""

from __future__ import annotations

from ..free_space import FreeSpace
from .free import free_blocks
from .layout import Filesystem
from .log import head_of_clean_log

__all__ = ["unneeded"]


def unneeded(fd: int, start: int, end: int) -> FreeSpace:
    """What the XFS filesystem between the bytes ``start`` and ``end`` of the image can lose.

    Reads superblock, the end of the log, and of each allocation group the headers and the two
    free-space trees; nothing else. The log is always needed: it says that it is empty.

    :raises UntrustedMetadata: something does not agree; the text says what
    """
    filesystem = Filesystem(fd, start, end)
    newest = head_of_clean_log(filesystem)
    free = free_blocks(filesystem, newest)
    return FreeSpace(free=filesystem.to_bytes(free), checksums=filesystem.v5)
