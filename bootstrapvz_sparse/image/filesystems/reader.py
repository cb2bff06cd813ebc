"""Reads of metadata that stay within the filesystem."""

from __future__ import annotations

from ..extents import Ranges, union
from ..view import EndOfImage, Map
from .free_space import UntrustedMetadata


class BoundedReader:
    """The bytes of a filesystem; offsets count from its start."""

    def __init__(self, where: Map) -> None:
        self.where, self.size = where, where.size

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes at ``offset``.

        :raises UntrustedMetadata: they lie beyond the end of the filesystem or of the image
        :raises OSError: the image cannot be read
        """
        if offset < 0 or offset + length > self.size:
            raise UntrustedMetadata(f"metadata at byte {offset} is beyond the filesystem's end")
        try:
            return self.where.read(offset, length)
        except EndOfImage as error:
            raise UntrustedMetadata(
                f"metadata at byte {offset} is beyond the image's end"
            ) from error

    def to_image(self, blocks: Ranges, block_size: int) -> Ranges:
        """Return the byte ranges of the image that hold ranges of block numbers."""
        return union(self.where.to_image([(a * block_size, b * block_size) for a, b in blocks]))
