"""An XFS filesystem: its superblock, and the checks of each block that version 5 allows."""

from __future__ import annotations

from typing import NamedTuple

from ...view import Map
from ..checksums import crc32c
from ..free_space import NeedsRecovery, UntrustedMetadata
from ..reader import BoundedReader
from .features import Features
from .superblock import (
    BBSIZE,
    geometry,
    log_blocks,
    parse,
    require_clean_state,
    verify_sector_size,
)

NULL_LSN = 2**64 - 1  # of a block that was not written through the log
SB_CRC = 224  # offset of sb_crc


class Seal(NamedTuple):
    """The fields that version 5 adds to each block of metadata."""

    uuid: bytes
    lsn: int
    crc: bytes
    crc_offset: int


class Filesystem(BoundedReader):
    """An XFS filesystem with a verified superblock.

    Sizes are in bytes unless a name says blocks. Block numbers count from the filesystem's start,
    without the gaps that XFS leaves in its own numbers between allocation groups.

    :raises UntrustedMetadata: the superblock is not in order
    :raises OSError: the image cannot be read
    """

    def __init__(self, where: Map) -> None:
        super().__init__(where)
        self.sb = sb = parse(self.read(0, BBSIZE))
        self.features = Features(sb)
        self.v5 = self.features.v5
        verify_sector_size(sb)
        if self.v5:
            self.verify_checksum(self.read(0, sb.sb_sectsize), "the superblock", sb.sb_crc, SB_CRC)
        require_clean_state(sb, self.features)
        self.uuid = sb.sb_meta_uuid if self.features.meta_uuid else sb.sb_uuid
        self.lsn = sb.sb_lsn if self.v5 else 0
        self.geometry = geometry(sb, self.size)
        self.log = log_blocks(sb, self.geometry)

    def verify_checksum(self, raw: bytes, subject: str, crc: bytes, offset: int) -> None:
        """Verify the checksum ``crc``, which counts as zeros at its own ``offset``.

        :raises UntrustedMetadata: it is wrong
        """
        expected = ~crc32c(raw[:offset] + bytes(4) + raw[offset + 4 :]) & 0xFFFFFFFF
        if expected != int.from_bytes(crc, "little"):
            raise UntrustedMetadata(f"wrong checksum of {subject}")

    def verify(self, raw: bytes, subject: str, head_lsn: int, seal: Seal) -> None:
        """Verify checksum, filesystem and log sequence number of a block; of version 5 only.

        :param head_lsn: the last log sequence number
        :raises UntrustedMetadata: it is damaged or belongs to another filesystem
        :raises NeedsRecovery: it is newer than the log
        """
        if not self.v5:
            return
        self.verify_checksum(raw, subject, seal.crc, seal.crc_offset)
        if seal.uuid != self.uuid:
            raise UntrustedMetadata(f"{subject} belongs to another filesystem")
        self.verify_lsn(seal.lsn, subject, head_lsn)

    @staticmethod
    def verify_lsn(lsn: int, subject: str, head_lsn: int) -> None:
        """Check that the log is not older than a block of metadata.

        :raises NeedsRecovery: the log is older: they were copied at different times
        """
        if lsn > head_lsn and lsn != NULL_LSN:
            raise NeedsRecovery(f"{subject} is newer than the log")
