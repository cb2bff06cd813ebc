"""The bytes of the shown file: ranges of another file, one after another."""

from __future__ import annotations

import bisect
import errno
import os
import struct
from collections.abc import Iterable

SHOWN = "shown"  # reported once the command has run
PIECE = struct.Struct("<QQ")  # start and length in bytes


class Pieces:
    """Ranges of the open file ``image``, as pairs of start and length in bytes."""

    def __init__(self, image: int, pieces: Iterable[tuple[int, int]]) -> None:
        self.image, self.pieces = image, list(pieces)
        self._starts: list[int] = []
        self.size = 0
        for _, length in self.pieces:
            self._starts.append(self.size)
            self.size += length

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes at ``offset``, fewer only at the end.

        :raises OSError: EIO where the image ends within a piece; as pread(2)
        """
        parts, end = [], min(offset + length, self.size)
        index = bisect.bisect_right(self._starts, offset) - 1
        while offset < end:
            start, size = self.pieces[index]
            skipped = offset - self._starts[index]
            count = min(end - offset, size - skipped)
            part = os.pread(self.image, count, start + skipped)
            if len(part) < count:
                raise OSError(errno.EIO, "the image ends within a piece")
            parts.append(part)
            offset, index = offset + count, index + 1
        return b"".join(parts)


def pack(pieces: Iterable[tuple[int, int]]) -> bytes:
    """Return ``pieces`` as bytes for another process."""
    return b"".join(PIECE.pack(start, length) for start, length in pieces)


def unpack(raw: bytes) -> list[tuple[int, int]]:
    """Return the pieces that :func:`pack` has packed."""
    return [(start, length) for start, length in PIECE.iter_unpack(raw)]
