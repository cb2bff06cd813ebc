"""Checksums of filesystems."""

from __future__ import annotations

from functools import lru_cache


def _table(polynomial: int) -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
        table.append(value)
    return table


_CRC32C = _table(0x82F63B78)
_CRC16 = _table(0xA001)


@lru_cache(maxsize=64)  # the bitmaps of empty groups are all alike
def crc32c(data: bytes, crc: int = 0xFFFFFFFF) -> int:
    """CRC-32C (Castagnoli) as ext4 uses it: reflected, not inverted at the end. XFS inverts it."""
    table = _CRC32C
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc


def crc16(data: bytes, crc: int = 0xFFFF) -> int:
    """CRC-16 (ANSI) as uninit_bg of ext4 uses it."""
    for byte in data:
        crc = _CRC16[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc
