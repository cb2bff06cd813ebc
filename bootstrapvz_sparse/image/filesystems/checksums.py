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
    position = 0
    if len(data) >= 4 * PIECE:
        low, second, third, high, ones = _by_pieces()
        for position in range(0, len(data) - PIECE + 1, PIECE):
            piece = data[position : position + PIECE]
            if piece in _UNIFORM:  # most of a bitmap
                crc = (
                    low[crc & 255]
                    ^ second[crc >> 8 & 255]
                    ^ third[crc >> 16 & 255]
                    ^ high[crc >> 24]
                    ^ (ones if piece[0] else 0)
                )
            else:
                crc = _by_bytes(piece, crc)
        position += PIECE
    return _by_bytes(data[position:], crc)


PIECE = 64  # bytes
_ZEROS, _ONES = bytes(PIECE), b"\xff" * PIECE
_UNIFORM = (_ZEROS, _ONES)


def _by_bytes(data: bytes, crc: int) -> int:
    table = _CRC32C
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc


@lru_cache(maxsize=1)
def _by_pieces() -> tuple[list[int], list[int], list[int], list[int], int]:
    """What a piece of zeros makes of a checksum, for each of its bytes; and what one of ones adds.

    A checksum is linear: that of a xor is the xor of the checksums.
    """
    tables = []
    for shift in (0, 8, 16, 24):
        table = [0]
        for bit in range(8):
            value = _by_bytes(_ZEROS, 1 << shift + bit)
            table += [value ^ other for other in table]
        tables.append(table)
    low, second, third, high = tables
    return low, second, third, high, _by_bytes(_ONES, 0)


def crc16(data: bytes, crc: int = 0xFFFF) -> int:
    """CRC-16 (ANSI) as uninit_bg of ext4 uses it."""
    for byte in data:
        crc = _CRC16[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc
