"""Little-endian fields of on-disk structures. A field beyond the end of ``raw`` reads as 0."""

from __future__ import annotations


def u16(raw: bytes, offset: int) -> int:
    """Return the 16-bit field at ``offset``."""
    return int.from_bytes(raw[offset : offset + 2], "little")


def u32(raw: bytes, offset: int) -> int:
    """Return the 32-bit field at ``offset``."""
    return int.from_bytes(raw[offset : offset + 4], "little")


def u64(raw: bytes, offset: int) -> int:
    """Return the 64-bit field at ``offset``."""
    return int.from_bytes(raw[offset : offset + 8], "little")
