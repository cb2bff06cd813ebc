"""Checksums of filesystems."""

from __future__ import annotations

import struct
from functools import lru_cache


def _table(polynomial: int) -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
        table.append(value)
    return table


def _next_byte(table: list[int]) -> list[int]:
    """Return the table for a byte that is followed by one more byte than in ``table``."""
    return [_CRC32C[value & 0xFF] ^ value >> 8 for value in table]


_CRC32C = _table(0x82F63B78)
_CRC32C_1 = _next_byte(_CRC32C)
_CRC32C_2 = _next_byte(_CRC32C_1)
_CRC32C_3 = _next_byte(_CRC32C_2)
_CRC16 = _table(0xA001)


@lru_cache(maxsize=64)  # the bitmaps of all empty groups are the same
def crc32c(data: bytes, crc: int = 0xFFFFFFFF) -> int:
    """Return CRC-32C (Castagnoli) as ext4 uses it: not inverted at the end. XFS inverts it."""
    position = 0
    if len(data) >= 4 * PIECE:
        low, second, third, high, ones = _piece_tables()
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
                crc = _by_words(piece, crc)
        position += PIECE
    return _by_words(data[position:], crc)


PIECE = 64  # bytes
_ZEROS, _ONES = bytes(PIECE), b"\xff" * PIECE
_UNIFORM = (_ZEROS, _ONES)


def _by_words(data: bytes, crc: int) -> int:
    """Return the checksum by four bytes at once, "slicing by 4"."""
    last, third, second, first = _CRC32C, _CRC32C_1, _CRC32C_2, _CRC32C_3
    count = len(data) // 4
    for word in struct.unpack_from(f"<{count}I", data):
        crc ^= word
        crc = first[crc & 255] ^ second[crc >> 8 & 255] ^ third[crc >> 16 & 255] ^ last[crc >> 24]
    for byte in data[4 * count :]:
        crc = last[(crc ^ byte) & 255] ^ crc >> 8
    return crc


@lru_cache(maxsize=1)
def _piece_tables() -> tuple[list[int], list[int], list[int], list[int], int]:
    """Return the effect of a piece of zeros on each byte of a checksum, and of a piece of ones.

    A checksum is linear: that of a xor is the xor of the checksums.
    """
    tables = []
    for shift in (0, 8, 16, 24):
        table = [0]
        for bit in range(8):
            value = _by_words(_ZEROS, 1 << shift + bit)
            table += [value ^ other for other in table]
        tables.append(table)
    low, second, third, high = tables
    return low, second, third, high, _by_words(_ONES, 0)


def crc16(data: bytes, crc: int = 0xFFFF) -> int:
    """Return CRC-16 (ANSI) as uninit_bg of ext4 uses it."""
    for byte in data:
        crc = _CRC16[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc
