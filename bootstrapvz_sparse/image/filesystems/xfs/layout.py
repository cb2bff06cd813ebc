"""Superblock, and how blocks are found."""

from __future__ import annotations

from ...extents import Ranges
from ..checksums import crc32c
from ..free_space import UntrustedMetadata
from ..reader import Place
from .features import Features

MAGIC = b"XFSB"

BASIC = 512  # bytes of a basic block: the unit of disk addresses and of the log
MIN_GROUP = 64  # blocks
HEADERS = 4  # sectors at the start of an allocation group: superblock, AGF, AGI, AGFL


class Filesystem(Place):
    """An XFS filesystem between two byte offsets of an image, its superblock verified.

    Sizes in bytes unless a name says blocks, block numbers count from the filesystem's start:
    without the gaps that XFS leaves in its own numbers between allocation groups.

    :raises UntrustedMetadata: the superblock is not in order
    """

    def __init__(self, fd: int, start: int, end: int) -> None:
        super().__init__(fd, start, end)
        raw = self.read(0, BASIC)

        def u16(offset: int) -> int:
            return int.from_bytes(raw[offset : offset + 2], "big")

        def u32(offset: int) -> int:
            return int.from_bytes(raw[offset : offset + 4], "big")

        def u64(offset: int) -> int:
            return int.from_bytes(raw[offset : offset + 8], "big")

        if raw[:4] != MAGIC:
            raise UntrustedMetadata("no XFS superblock")
        self.features = Features(raw)
        self.v5 = self.features.v5
        self.sector = u16(102)
        if self.sector != 1 << raw[121] or not 512 <= self.sector <= 32768:
            raise UntrustedMetadata("absurd sector size")
        self.log_uuid = raw[32:48]
        self.uuid = raw[248:264] if self.features.meta_uuid else self.log_uuid
        if self.v5:
            self.verify_checksum(self.read(0, self.sector), "the superblock", 224)
        self.features.refuse_unknown()
        if raw[126]:  # sb_inprogress
            raise UntrustedMetadata("it was not completely made")

        self.block = u32(4)
        if self.block != 1 << raw[120] or not 512 <= self.block <= 65536:
            raise UntrustedMetadata("absurd block size")
        self.blocks = u64(8)
        self.group_blocks, self.group_count = u32(84), u32(88)
        self.group_log = raw[124]
        self.free = u64(144)
        self.lsn = u64(240) if self.v5 else 0
        self.first = (HEADERS * self.sector - 1) // self.block + 1  # of an allocation group
        if (
            self.sector > self.block
            or self.group_count < 1
            or self.group_blocks < MIN_GROUP
            or self.group_log > 31
            or self.group_blocks > 1 << self.group_log
            or self.group_blocks <= 1 << self.group_log >> 1
            or self.group_blocks * self.group_count < self.blocks
            or self.group_blocks * (self.group_count - 1) + MIN_GROUP > self.blocks
        ):
            raise UntrustedMetadata("the superblock contradicts itself")
        if self.blocks * self.block > self.end - self.start:
            raise UntrustedMetadata("the filesystem is larger than the space it has")
        if u64(16):  # sb_rblocks
            raise UntrustedMetadata("it has a realtime device")
        self.log = self._log(u64(48), u32(96))

    def _log(self, start: int, length: int) -> tuple[int, int]:
        """Half-open range of the block numbers of the log."""
        if start == 0:
            raise UntrustedMetadata("its log is on another device")
        group, within = start >> self.group_log, start & ((1 << self.group_log) - 1)
        if (
            group >= self.group_count
            or within < self.first
            or length * self.block < 2 * BASIC
            or within + length > self.group_length(group)
        ):
            raise UntrustedMetadata("its log lies outside the filesystem")
        first = group * self.group_blocks + within
        return first, first + length

    def group_length(self, group: int) -> int:
        """Blocks of an allocation group; the last one may be shorter."""
        return min(self.group_blocks, self.blocks - group * self.group_blocks)

    def verify_checksum(self, raw: bytes, what: str, place: int) -> None:
        """Compare with the checksum at ``place``, which counts as zeros within itself."""
        expected = ~crc32c(raw[:place] + bytes(4) + raw[place + 4 :]) & 0xFFFFFFFF
        if expected != int.from_bytes(raw[place : place + 4], "little"):
            raise UntrustedMetadata(f"wrong checksum of {what}")

    def verify(self, raw: bytes, what: str, newest: int, places: tuple[int, int, int]) -> None:
        """Verify what version 5 adds to metadata, at ``places``: uuid, sequence number, checksum.

        :param newest: the log's last sequence number
        """
        if not self.v5:
            return
        uuid, lsn, checksum = places
        self.verify_checksum(raw, what, checksum)
        if raw[uuid : uuid + 16] != self.uuid:
            raise UntrustedMetadata(f"{what} is of another filesystem")
        self.verify_lsn(int.from_bytes(raw[lsn : lsn + 8], "big"), what, newest)

    @staticmethod
    def verify_lsn(lsn: int, what: str, newest: int) -> None:
        if lsn > newest and lsn != 2**64 - 1:  # all ones: not written through the log
            raise UntrustedMetadata(f"{what} is newer than its log")

    def to_bytes(self, blocks: Ranges) -> Ranges:
        """Byte ranges of the image, of ranges of block numbers."""
        return [(self.start + a * self.block, self.start + b * self.block) for a, b in blocks]
