"""What a filesystem itself says it does not need, one module for each that is known.

A reader answers with byte ranges of the image, or raises :class:`NotTrusted` and says why: then
nothing counts as free there. It reads metadata only and never writes.
"""

from __future__ import annotations

from collections.abc import Callable

from . import ext
from .trust import NotTrusted, Unneeded

Recognise = Callable[[int, int], bool]
Read = Callable[[int, int, int], Unneeded]

READERS: tuple[tuple[Recognise, Read], ...] = ((ext.recognise, ext.unneeded),)


def unneeded(fd: int, start: int, end: int) -> Unneeded:
    """What the filesystem between the bytes ``start`` and ``end`` of the image does not need.

    :raises NotTrusted: no filesystem that is known, or one that is not in order
    """
    for recognise, read in READERS:
        if recognise(fd, start):
            return read(fd, start, end)
    raise NotTrusted("no filesystem whose free blocks can be told")


__all__ = ["NotTrusted", "Unneeded", "unneeded"]
