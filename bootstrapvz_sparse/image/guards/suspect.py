"""The subject of the guards: a partition, a logical volume or a whole filesystem."""

from __future__ import annotations

from typing import NamedTuple

from ..view import Map


class Suspect(NamedTuple):
    """A partition, a logical volume, or a whole image without a table (number 0).

    ``kind`` is the type that blkid(8) reports and ``ambivalent`` its verdict that there are
    several; ``table`` the type of a partition table in it. ``type_code`` is the GUID of its type in
    a GPT or the type byte of an MBR in hexadecimal. ``dirty`` is the reason given by a reader if a
    log must be replayed, or ``""``.
    """

    number: int
    where: Map
    kind: str = ""
    type_code: str = ""
    ambivalent: bool = False
    table: str = ""
    dirty: str = ""
    name: str = ""

    def __str__(self) -> str:
        return self.name or (f"partition {self.number}" if self.number else "the image")

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes at ``offset``, or none if the suspect or the image is shorter."""
        if offset < 0 or offset + length > self.where.size:
            return b""
        try:
            return self.where.read(offset, length)
        except OSError:  # the image is cut off
            return b""
