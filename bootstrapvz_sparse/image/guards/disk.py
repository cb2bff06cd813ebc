"""An image as a whole, and the bytes in it that belong to no filesystem."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable, Iterator

from ..blkid import Signature
from ..extents import Range, Ranges, complement, intersection, union
from ..view import Map
from .ends import allocation_unit, filesystem_end
from .suspect import Suspect

CHUNK_SIZE = 1 << 20  # bytes read at once
ZEROS = bytes(CHUNK_SIZE)
BLOCK = 4096
VHD_FOOTER = 512  # bytes behind the disk in a vhd of fixed size: the cookie is "conectix"


class Disk:
    """An image and everything in it: ``fd`` is the file behind the map ``image``.

    ``signature`` is that of the image as a whole.
    """

    def __init__(
        self, image: Map, fd: int, suspects: Iterable[Suspect], signature: Signature
    ) -> None:
        self.image, self.fd, self.suspects = image, fd, tuple(suspects)
        self.signature = signature

    def unclaimed(self, suspect: Suspect) -> Ranges:
        """Return the ranges of the file with data behind the filesystem's end.

        A suspect with unknown content has no filesystem: all of its data is returned.

        :raises OSError: the image cannot be read
        """
        end, size = filesystem_end(suspect), suspect.where.size
        if not end and suspect.kind:
            return []
        if suspect.read(size - VHD_FOOTER, 8) == b"conectix":
            size -= VHD_FOOTER
        if end and size - end < allocation_unit(suspect):
            return []
        return self.written(suspect.where, end, size)

    def written(self, where: Map, start: int, end: int) -> Ranges:
        """Return the ranges of the file with data of ``where`` from ``start`` to ``end``."""
        wanted = union(where.to_image([(start, end)]))
        return list(_data_within(self.fd, wanted))

    def outside(self) -> Ranges:
        """Return the ranges of the file with data that belong to the disk and to no suspect."""
        disk = union(self.image.to_image([(0, self.image.size)]))
        inside = union(*(s.where.to_image([(0, s.where.size)]) for s in self.suspects))
        gaps = intersection(disk, complement(inside, disk[-1][1] if disk else 0))
        return list(_data_within(self.fd, gaps))

    def chunks(self, ranges: Iterable[Range], limit: int = sys.maxsize) -> Iterator[bytes]:
        """Yield the content of the file in ``ranges``, from the first block that is not zero.

        At most ``limit`` bytes are read.

        :raises OSError: the image cannot be read
        """
        for start, end in ranges:
            zeros = True
            for offset in range(start, end, CHUNK_SIZE):
                length = min(CHUNK_SIZE, end - offset, limit)
                limit -= length
                raw = os.pread(self.fd, length, offset)
                if zeros and raw != ZEROS[: len(raw)]:
                    zeros = False
                    first = len(raw) - len(raw.lstrip(b"\0"))
                    raw = raw[first - first % BLOCK :]
                if not zeros:
                    yield raw
                if not limit:
                    return


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
