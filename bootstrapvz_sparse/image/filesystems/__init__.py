"""What a filesystem itself says is free, one module for each that is known.

A reader answers with byte ranges of the image, or raises :class:`NotTrusted` and says why: then
nothing counts as free there. It reads metadata only and never writes.
"""

from __future__ import annotations

from collections.abc import Callable

from ..extents import Ranges
from . import ext
from .trust import NotTrusted

Reader = Callable[[int, int, int], Ranges]

READERS: dict[str, tuple[Callable[[int, int], bool], Reader]] = {
    "ext2/3/4": (ext.recognise, ext.free_ranges),
}


def free_ranges(fd: int, start: int, end: int) -> tuple[str, Ranges]:
    """The name of the filesystem between the bytes ``start`` and ``end``, and what it calls free.

    :raises NotTrusted: no filesystem that is known, or one that is not in order
    """
    for name, (recognise, reader) in READERS.items():
        if recognise(fd, start):
            return name, reader(fd, start, end)
    raise NotTrusted("no filesystem whose free blocks can be told")


__all__ = ["NotTrusted", "free_ranges"]
