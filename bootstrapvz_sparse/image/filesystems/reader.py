"""Where a filesystem lies in an image."""

from __future__ import annotations

import os

from .free_space import UntrustedMetadata


class Place:
    """The bytes of the image, the open file ``fd``, from ``start`` up to ``end``."""

    def __init__(self, fd: int, start: int, end: int) -> None:
        self.fd, self.start, self.end = fd, start, end

    def read(self, offset: int, length: int) -> bytes:
        """``length`` bytes at ``offset``, counted from the start of the filesystem."""
        if self.start + offset + length > self.end:
            raise UntrustedMetadata("its metadata lies beyond its end")
        found = os.pread(self.fd, length, self.start + offset)
        if len(found) < length:
            raise UntrustedMetadata("the image ends within its metadata")
        return found
