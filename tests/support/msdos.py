"""Partition tables written by hand: sfdisk would not put a partition anywhere."""

from __future__ import annotations

import struct
from pathlib import Path

SECTOR = 512
LINUX = 0x83


def write_table(path: Path, *partitions: tuple[int, int]) -> None:
    """Write a table of primary partitions, each from a byte to a byte, into the image."""
    table = bytearray(SECTOR)
    table[440:444] = b"seed"  # the identifier of the disk
    for index, (start, end) in enumerate(partitions):
        entry = struct.pack(
            "<8BII", *(0, 0, 2, 0, LINUX, 0, 2, 0), start // SECTOR, (end - start) // SECTOR
        )
        table[446 + 16 * index : 462 + 16 * index] = entry
    table[510:] = b"\x55\xaa"
    with path.open("r+b") as file:
        file.write(table)
