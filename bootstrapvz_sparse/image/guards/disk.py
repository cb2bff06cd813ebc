"""An image as a whole, and the bytes in it that no filesystem speaks for."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator

from ..extents import Range, Ranges, complement, intersection, union
from ..view import Map
from .ends import filesystem_end
from .suspect import Suspect

CHUNK_SIZE = 1 << 20  # bytes read at once
ZEROS = bytes(CHUNK_SIZE)
BLOCK = 4096
VHD_FOOTER = 512  # bytes behind the disk in a vhd of fixed size: the cookie is "conectix"
MAX_ZEROS = 64 << 20  # bytes read where no filesystem is, until some are not zero


class Disk:
    """An image and everything in it: ``fd`` is the file behind the map ``image``.

    ``kind`` and ``table`` are the signatures of the image as a whole.
    """

    def __init__(
        self, image: Map, fd: int, suspects: Iterable[Suspect], kind: str = "", table: str = ""
    ) -> None:
        self.image, self.fd, self.suspects = image, fd, tuple(suspects)
        self.kind, self.table = kind, table
        self._unclaimed: dict[Suspect, bytes] = {}

    def unclaimed(self, suspect: Suspect) -> bytes:
        """Return the first block behind the filesystem's end that is not zero, or none.

        A suspect without a known content has no filesystem: its first data are returned.

        :raises OSError: the image cannot be read
        """
        if suspect not in self._unclaimed:
            end = filesystem_end(suspect)
            block = b""
            if end or not suspect.kind:
                size = suspect.where.size
                if suspect.read(size - VHD_FOOTER, 8) == b"conectix":
                    size -= VHD_FOOTER
                ranges = self.written(suspect.where, end, size)
                block = self.first_data(ranges, size if end else MAX_ZEROS)
            self._unclaimed[suspect] = block
        return self._unclaimed[suspect]

    def written(self, where: Map, start: int, end: int) -> Ranges:
        """Return the ranges of the file that hold data of ``where`` from ``start`` to ``end``."""
        wanted = union(where.to_image([(start, end)]))
        return list(_data_within(self.fd, wanted))

    def outside(self) -> Ranges:
        """Return the ranges of the file with data that belong to the disk and to no suspect."""
        disk = union(self.image.to_image([(0, self.image.size)]))
        inside = union(*(s.where.to_image([(0, s.where.size)]) for s in self.suspects))
        gaps = intersection(disk, complement(inside, disk[-1][1] if disk else 0))
        return list(_data_within(self.fd, gaps))

    def first_data(self, ranges: Iterable[Range], limit: int = MAX_ZEROS) -> bytes:
        """Return the first block of the file's ``ranges`` that is not zero, if there is one.

        Holes are never read, and no more than ``limit`` bytes. Blocks are counted from the start
        of each range.

        :raises OSError: the image cannot be read
        """
        for start, end in ranges:
            for offset in range(start, min(end, start + limit), CHUNK_SIZE):
                raw = os.pread(self.fd, min(CHUNK_SIZE, end - offset), offset)
                if raw != ZEROS[: len(raw)]:
                    first = len(raw) - len(raw.lstrip(b"\0"))
                    first -= first % BLOCK
                    return raw[first : first + BLOCK]
            limit = max(limit - (end - start), 0)
        return b""


def _data_within(fd: int, ranges: Ranges) -> Iterator[tuple[int, int]]:
    """Yield the data of the sorted ranges of the file (``SEEK_DATA``, lseek(2))."""
    for start, end in ranges:
        while start < end:
            try:
                start = os.lseek(fd, start, os.SEEK_DATA)
                hole = os.lseek(fd, start, os.SEEK_HOLE)
            except OSError as error:
                if error.errno == errno.ENXIO:  # no more data
                    return
                raise
            if start < end:
                yield start, min(hole, end)
            start = hole
