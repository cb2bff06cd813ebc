"""Disks of a few pieces of data, for tarballs."""

from __future__ import annotations

import os
from pathlib import Path

MIB, GIB = 1 << 20, 1 << 30
PIECES = 100  # more than the map in the header of a sparse file has room for


def make(path: Path, size: int = GIB, pieces: int = PIECES) -> Path:
    """An image of some pieces of data with holes between them, the last at its end."""
    with path.open("wb") as file:
        file.truncate(size)
        for number in range(pieces):
            os.pwrite(file.fileno(), bytes([number + 1]) * 8192, number * 4 * MIB)
        os.pwrite(file.fileno(), b"end", size - 3)
        os.fsync(file.fileno())
    return path
