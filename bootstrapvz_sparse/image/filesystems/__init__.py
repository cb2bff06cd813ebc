"""What a filesystem itself says it does not need, one module for each that is known.

A reader answers with byte ranges of the image, or raises :class:`NotTrusted` and says why: then
nothing counts as free there. It reads metadata only and never writes.
"""

from __future__ import annotations

from collections.abc import Callable

from . import ext, swap, xfs
from .trust import NotTrusted, Unneeded

Read = Callable[[int, int, int], Unneeded]

# by the types of blkid(8)
READERS: dict[str, Read] = {
    "ext2": ext.unneeded,
    "ext3": ext.unneeded,
    "ext4": ext.unneeded,
    "swap": swap.unneeded,
    "xfs": xfs.unneeded,
}


def unneeded(type: str, fd: int, start: int, end: int) -> Unneeded:
    """What the filesystem between the bytes ``start`` and ``end`` of the image does not need.

    ``type`` is what blkid calls it: with what the reader finds itself, two agree on what is there.

    :raises NotTrusted: no filesystem that is known, or one that is not in order
    :raises OSError: the image cannot be read
    """
    if type not in READERS:
        raise NotTrusted(f"nothing is known of {type}" if type else "no known filesystem")
    return READERS[type](fd, start, end)


__all__ = ["READERS", "NotTrusted", "Unneeded", "unneeded"]
