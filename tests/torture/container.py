"""Metadata of an image, without the image: pieces of it, so that a fuzzer gets small inputs.

A byte of flags; the image's size in pages, 4 bytes; then pieces: where, in units of 32 bytes and
4 bytes long, how many bytes, 2 bytes long, and the bytes themselves. All numbers are little endian.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from .oracle import Ranges

NO_CHECKSUMS = 1  # every checksum passes for right
UNIT, PAGE, LARGEST = 32, 4096, 1 << 36
HEAD, PIECE = struct.Struct("<BI"), struct.Struct("<IH")


def pack(flags: int, size: int, raw: bytes, pieces: Iterable[tuple[int, int]]) -> bytes:
    """A container of those pieces of ``raw``; where they begin and end is rounded to units."""
    packed = [HEAD.pack(flags, size // PAGE)]
    for start, end in merged(pieces):
        for first in range(start, end, 1 << 15):
            content = raw[first : min(first + (1 << 15), end)].rstrip(b"\0")
            if content:
                packed.append(PIECE.pack(first // UNIT, len(content)) + content)
    return b"".join(packed)


def merged(pieces: Iterable[tuple[int, int]]) -> Ranges:
    """The pieces in order, in whole units, those that touch as one."""
    found: Ranges = []
    for start, end in sorted((a // UNIT * UNIT, -(-b // UNIT) * UNIT) for a, b in pieces):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


@contextmanager
def unpacked(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Flags, an open file that holds the image, and its size; any input makes one."""
    flags, pages = HEAD.unpack(data[: HEAD.size].ljust(HEAD.size, b"\0"))
    size = max(pages * PAGE % LARGEST, PAGE)
    fd = os.memfd_create("image")
    try:
        os.ftruncate(fd, size)
        position = HEAD.size
        while position + PIECE.size <= len(data):
            unit, length = PIECE.unpack_from(data, position)
            position += PIECE.size
            start = unit * UNIT
            content = data[position : position + min(length, max(size - start, 0))]
            os.pwrite(fd, content, start)
            position += length
        yield flags, fd, size
    finally:
        os.close(fd)
