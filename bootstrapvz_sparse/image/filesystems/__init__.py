"""Free space of filesystems, one reader each.

A reader returns byte ranges of the image, or raises :class:`UntrustedMetadata`: then none of its
blocks count as free. It reads metadata only and never writes.
"""

from __future__ import annotations

from ..view import Map
from . import ext, swap, xfs
from .free_space import FreeSpace, NeedsRecovery, UntrustedMetadata
from .kind import Kind, Reader
from .unread import BTRFS, EXFAT, F2FS, VFAT

# Each kind of filesystem, by the types that blkid(8) prints.
KINDS: dict[str, Kind] = {
    type: kind
    for kind in (ext.KIND, swap.KIND, xfs.KIND, BTRFS, EXFAT, F2FS, VFAT)
    for type in kind.types
}

READERS: dict[str, Reader] = {type: kind.reader for type, kind in KINDS.items() if kind.reader}


def find_free_space(type: str, where: Map) -> FreeSpace:
    """Return the free space of the filesystem on ``where``, as byte ranges of the image.

    :param type: its type as blkid(8) prints it, which the reader verifies
    :raises UntrustedMetadata: the filesystem is unknown, or its metadata is not in order
    :raises NeedsRecovery: it was in use when the image was made, or the guest is hibernated
    :raises OSError: the image cannot be read
    """
    if not type:
        raise UntrustedMetadata("no known filesystem")
    if type not in READERS:
        raise UntrustedMetadata(f"no reader for {type}")
    return READERS[type](where)


__all__ = [
    "KINDS",
    "READERS",
    "FreeSpace",
    "Kind",
    "NeedsRecovery",
    "UntrustedMetadata",
    "find_free_space",
]
