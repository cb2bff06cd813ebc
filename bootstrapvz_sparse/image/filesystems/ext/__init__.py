"""The reader of ext2, ext3 and ext4: free space from the block bitmaps, and an empty journal.

On-disk format: https://docs.kernel.org/filesystems/ext4/ ; fields have the names of that page. A
filesystem is trusted only if it was cleanly unmounted, has no errors, no unknown features and no
journal to recover, and if all checksums and counts of free blocks agree. All numbers are little
endian, except those of the journal.
"""

from __future__ import annotations

from ...extents import intersection
from ...view import Map
from ..free_space import FreeSpace, UntrustedMetadata
from ..kind import Kind
from .free import free_blocks
from .journal import journal_log
from .layout import Filesystem


def find_free_space(where: Map) -> FreeSpace:
    """Return the free blocks and the empty journal of the ext2, ext3 or ext4 on ``where``.

    Reads only the superblock, group descriptors, block bitmaps, and the location of the journal.

    :raises UntrustedMetadata: the metadata is inconsistent; the text says how
    :raises NeedsRecovery: it was mounted when the image was made
    :raises OSError: the image cannot be read
    """
    filesystem = Filesystem(where)
    free = free_blocks(filesystem)
    journal = journal_log(filesystem)
    if intersection(free, journal):
        raise UntrustedMetadata("the block bitmaps mark journal blocks as free")
    block_size = filesystem.geometry.block_size
    return FreeSpace(
        free=filesystem.to_image(free, block_size),
        journal=filesystem.to_image(journal, block_size),
    )


KIND = Kind(
    name="ext",
    types=("ext2", "ext3", "ext4"),
    reader=find_free_space,
    checker="e2fsck",
    discardable=True,
    mkfs=("mke2fs",),
)
__all__ = ["KIND", "UntrustedMetadata", "find_free_space"]
