"""Read tar archives in old GNU format with one sparse member, as Compute Engine does.

Source: "Tar Format" of the GNU tar manual, ``struct oldgnu_header`` and ``struct sparse_header``,
appendix "Storing Sparse Files".
"""

from __future__ import annotations

import tarfile
from array import array
from collections.abc import Iterator
from typing import IO

from ..util.errors import InvalidTarball
from .extents import Range

MEMBER = "disk.raw"
BLOCK = 512
CHUNK_SIZE = 1 << 20

OLD_GNU = b"ustar  \0"  # magic and version
SPARSE, REGULAR = b"S", (b"0", b"\0")
TYPES = {
    b"x": "a PAX header",
    b"g": "a PAX header",
    b"L": "a long name",
    b"K": "a long link name",
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"5": "a directory",
    b"6": "a fifo",
}
# Of the header: where the map of a sparse file begins and ends, and the flag and size after it.
MAP, MORE, REAL_SIZE = slice(386, 482), 482, slice(483, 495)
# Of each block that goes on with the map.
FURTHER_MAP, FURTHER_MORE = slice(0, 504), 504
ENTRY = 12  # bytes of a number in the map, for example an offset or a length
MAX_SEGMENTS = 1 << 22  # of a map: 64 MiB of memory


class Segments:
    """The byte ranges of the disk that a tarball stores, in order."""

    def __init__(self) -> None:
        self._bounds = array("Q")
        self.stored = 0

    def __iter__(self) -> Iterator[Range]:
        bounds = iter(self._bounds)
        return zip(bounds, bounds)

    @property
    def end(self) -> int:
        """The end of the last range."""
        return self._bounds[-1] if self._bounds else 0

    def append(self, start: int, length: int) -> None:
        """Add the next range.

        :raises InvalidTarball: it does not follow the last one, or there are too many
        """
        if start < self.end or len(self._bounds) >= 2 * MAX_SEGMENTS:
            raise InvalidTarball("the sparse map is not in order or too long")
        self._bounds.extend((start, start + length))
        self.stored += length


def _read(stream: IO[bytes], length: int) -> bytes:
    found = stream.read(length)
    if len(found) < length:
        raise InvalidTarball("the archive is cut off")
    return found


def read_header(stream: IO[bytes]) -> tuple[int, Segments]:
    """Return the size of the disk, and the ranges of it that follow.

    :raises InvalidTarball: Compute Engine does not accept the first member
    """
    block = _read(stream, BLOCK)
    if not block.strip(b"\0"):
        raise InvalidTarball("the archive is empty")
    try:
        member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        raise InvalidTarball(f"not a tar archive: {error}") from error
    if member.type in TYPES:
        raise InvalidTarball(f"its member is {TYPES[member.type]}, not a file")
    if member.type not in (SPARSE, *REGULAR):
        raise InvalidTarball(f"its member is of the unknown type {member.type!r}")
    if member.name != MEMBER:
        raise InvalidTarball(f"its member is called {member.name!r}, not {MEMBER}")
    if block[257:265] != OLD_GNU:
        raise InvalidTarball("it is not in (old) GNU format")
    if member.size < 0:
        raise InvalidTarball("not a tar archive: a negative size")
    segments = Segments()
    if member.type != SPARSE:
        if member.size:
            segments.append(0, member.size)
        return member.size, segments
    size = tarfile.nti(block[REAL_SIZE])  # type: ignore[attr-defined]
    for start, length in _map(stream, block):
        if segments.stored + length > member.size or start + length > size:
            raise InvalidTarball("the sparse map contradicts the size of the file")
        if length:
            segments.append(start, length)
    if segments.stored != member.size:
        raise InvalidTarball("the sparse map contradicts the size of the file")
    return size, segments


def _map(stream: IO[bytes], header: bytes) -> Iterator[tuple[int, int]]:
    """Yield the offsets and lengths of the sparse map; only the last length may be 0.

    :raises InvalidTarball: it cannot be read
    """
    entries, more = list(_entries(header[MAP])), header[MORE]
    empty = False
    while True:
        for entry in entries:
            if empty:
                raise InvalidTarball("the sparse map has empty entries")
            empty = not entry[1]
            yield entry
        if not more:
            return
        block = _read(stream, BLOCK)
        entries, more = list(_entries(block[FURTHER_MAP])), block[FURTHER_MORE]
        if not entries:
            raise InvalidTarball("the sparse map has empty entries")


def _entries(raw: bytes) -> Iterator[tuple[int, int]]:
    for position in range(0, len(raw) - 2 * ENTRY + 1, 2 * ENTRY):
        entry = raw[position : position + 2 * ENTRY]
        if not entry.strip(b"\0"):
            return
        try:
            start = tarfile.nti(entry[:ENTRY])  # type: ignore[attr-defined]
            length = tarfile.nti(entry[ENTRY:])  # type: ignore[attr-defined]
        except tarfile.TarError as error:
            raise InvalidTarball("the sparse map cannot be read") from error
        if start < 0 or length < 0:
            raise InvalidTarball("the sparse map has negative numbers")
        yield start, length


def contents(stream: IO[bytes], segments: Segments) -> Iterator[tuple[int, bytes]]:
    """Yield the stored parts of the disk: positions and bytes."""
    for start, end in segments:
        for position in range(start, end, CHUNK_SIZE):
            yield position, _read(stream, min(CHUNK_SIZE, end - position))
    _read(stream, -segments.stored % BLOCK)


def read_end(stream: IO[bytes]) -> None:
    """Read the end of the archive.

    :raises InvalidTarball: it does not consist of zeros
    """
    marker = _read(stream, 2 * BLOCK)
    while marker:
        if marker.strip(b"\0"):
            raise InvalidTarball("it has more than one member")
        marker = stream.read(CHUNK_SIZE)
