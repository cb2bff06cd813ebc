"""The reader of XFS: free space from the trees of its allocation groups.

On-disk format: "XFS Algorithms & Data Structures", https://docs.kernel.org/filesystems/xfs/ ;
fields have the kernel's names. A filesystem is trusted only if its log ends with the record of a
clean unmount, it has no unknown features, and all checksums, both free-space trees of each
allocation group and all counts of free blocks agree. All numbers are big endian, except the
checksums.
"""

from __future__ import annotations

from ...view import Map
from ..free_space import FreeSpace
from ..kind import Kind
from .free import free_blocks
from .layout import Filesystem
from .log import head_of_clean_log


def find_free_space(where: Map) -> FreeSpace:
    """Return the free blocks of the XFS on ``where``.

    Reads only the superblock, the end of the log, and the headers and two free-space trees of each
    allocation group. The log itself is kept, since it records the clean unmount.

    :raises UntrustedMetadata: the metadata is inconsistent; the text says how
    :raises NeedsRecovery: it was mounted when the image was made
    :raises OSError: the image cannot be read
    """
    filesystem = Filesystem(where)
    head_lsn = head_of_clean_log(filesystem)
    free = free_blocks(filesystem, head_lsn)
    return FreeSpace(free=filesystem.to_image(free, filesystem.geometry.block_size))


KIND = Kind(
    name="xfs",
    types=("xfs",),
    reader=find_free_space,
    checker="xfs_repair",
    discardable=True,
    mkfs=("mkfs.xfs",),
)
__all__ = ["KIND", "find_free_space"]
