"""Partition tables written by hand: sfdisk would not put a partition anywhere."""

from __future__ import annotations

import struct
from pathlib import Path

SECTOR = 512
LINUX = 0x83
ALIGNMENT = 1 << 20


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


def partitioned(folder: Path, *filesystems: bytes | Path) -> Path:
    """Return a new image with a partition table and these filesystems."""
    image, places, start = folder / "disk.raw", [], ALIGNMENT
    with image.open("wb") as file:
        for filesystem in filesystems:
            raw = filesystem if isinstance(filesystem, bytes) else filesystem.read_bytes()
            file.seek(start)
            file.write(raw)
            places.append((start, start + len(raw)))
            start += len(raw) + ALIGNMENT
        file.truncate(start)
    write_table(image, *places)
    image.chmod(0o666)
    return image
