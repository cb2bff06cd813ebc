"""The bytes of a partition, a logical volume or a disk, wherever they lie in the image.

Readers and checkers get a :class:`Map` in place of a descriptor and two offsets. Maps nest: a
partition of a disk in several pieces is a map of one piece of the disk's map.
"""

from __future__ import annotations

import bisect
import errno
import os
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from .extents import Range, Ranges


class EndOfImage(OSError):
    """The image ends within the bytes to be read (EIO)."""


class Map(Protocol):
    """A sequence of bytes that can be read and located in the image."""

    @property
    def size(self) -> int:
        """The size of the map in bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes at ``offset``.

        :raises EndOfImage: the image ends before that
        :raises OSError: EIO if the map ends before that; as pread(2)
        """

    def to_image(self, ranges: Iterable[Range]) -> Ranges:
        """Return the byte ranges of the image that hold ``ranges`` of the map, in their order.

        They may be unsorted even if ``ranges`` are sorted.
        """


class FileMap:
    """A whole image: the open file ``fd`` of ``size`` bytes."""

    def __init__(self, fd: int, size: int) -> None:
        self.fd, self.size = fd, size

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes at ``offset``; see :meth:`Map.read`."""
        raw = os.pread(self.fd, length, offset)
        if len(raw) < length:
            raise EndOfImage(errno.EIO, f"the image ends before byte {offset + length}")
        return raw

    def to_image(self, ranges: Iterable[Range]) -> Ranges:
        """Return ``ranges`` themselves."""
        return list(ranges)


class Piece(NamedTuple):
    """``length`` bytes of the parent map from byte ``start``."""

    start: int
    length: int


class PieceMap:
    """The ``pieces`` of another map, one after another."""

    def __init__(self, parent: Map, pieces: Iterable[Piece]) -> None:
        self._parent = parent
        self.pieces = tuple(pieces)
        self._starts: list[int] = []
        self.size = 0
        for piece in self.pieces:
            self._starts.append(self.size)
            self.size += piece.length

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes at ``offset``; see :meth:`Map.read`."""
        if not 0 <= offset <= offset + length <= self.size:
            raise OSError(errno.EIO, f"bytes {offset} to {offset + length} are outside the map")
        parts = self._to_parent([(offset, offset + length)])
        return b"".join(self._parent.read(start, end - start) for start, end in parts)

    def to_image(self, ranges: Iterable[Range]) -> Ranges:
        """Return the ranges of the image that hold ``ranges``; see :meth:`Map.to_image`."""
        return self._parent.to_image(self._to_parent(ranges))

    def _to_parent(self, ranges: Iterable[Range]) -> Ranges:
        parts: Ranges = []
        for start, end in ranges:
            index = bisect.bisect_right(self._starts, start) - 1
            while start < end:
                piece, first = self.pieces[index], self._starts[index]
                stop = min(end, first + piece.length)
                shift = piece.start - first
                parts.append((start + shift, stop + shift))
                start, index = stop, index + 1
        return parts


def window(parent: Map, start: int, end: int) -> PieceMap:
    """Return the map of the bytes from ``start`` up to ``end`` of ``parent``."""
    return PieceMap(parent, [Piece(start, end - start)])
