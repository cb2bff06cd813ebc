"""Exact copies of image files: holes, zeros and unwritten extents stay what they are.

``cp --sparse=auto`` makes holes of zeros and of unwritten extents, ``--sparse=never`` fills holes.
Source of the constants: ``linux/fiemap.h`` and the kernel's Documentation/filesystems/fiemap.rst.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from .processes import Failed

MIB = 1 << 20
GIB = 1 << 30
TIB = 1 << 40

FS_IOC_FIEMAP = 0xC020660B
FIEMAP_FLAG_SYNC = 0x1
FIEMAP_EXTENT_LAST = 0x1
FIEMAP_EXTENT_UNWRITTEN = 0x800
HEADER = struct.Struct("=QQLLLL")  # struct fiemap
EXTENT = struct.Struct("=QQQQQLLLL")  # struct fiemap_extent
AT_ONCE = 1000  # extents


def allocated(path: Path) -> int:
    return path.stat().st_blocks * 512


def extents(fd: int) -> Iterator[tuple[int, int, bool]]:
    """Start, end and whether it was ever written, of each extent of the file.

    :raises OSError: its filesystem cannot tell, as tmpfs
    """
    position = 0
    while True:
        buffer = bytearray(HEADER.size + AT_ONCE * EXTENT.size)
        HEADER.pack_into(buffer, 0, position, 2**64 - 1 - position, FIEMAP_FLAG_SYNC, 0, AT_ONCE, 0)
        fcntl.ioctl(fd, FS_IOC_FIEMAP, buffer)
        mapped = HEADER.unpack_from(buffer)[3]
        if mapped == 0:
            return
        for number in range(mapped):
            extent = EXTENT.unpack_from(buffer, HEADER.size + number * EXTENT.size)
            start, length, flags = extent[0], extent[2], extent[5]
            position = start + length
            yield start, position, not flags & FIEMAP_EXTENT_UNWRITTEN
            if flags & FIEMAP_EXTENT_LAST:
                return


def count_extents(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in extents(file.fileno()))


def copy(source: Path, target: Path) -> None:
    """Write ``target`` anew, the same as ``source``; it is on disk, and in the page cache.

    :raises Failed: it does not take the same space
    """
    target.unlink(missing_ok=True)
    with source.open("rb") as original, target.open("wb") as new:
        size = os.fstat(original.fileno()).st_size
        new.truncate(size)
        for start, end, written in extents(original.fileno()):
            end = min(end, size)  # the last block may reach beyond
            if start >= end:
                continue  # allocated behind the end of the file
            if written:
                _copy_data(original.fileno(), new.fileno(), start, end)
            else:
                os.posix_fallocate(new.fileno(), start, end - start)
    os.sync()  # whatever has been freed and written up to here: none of it while a way is timed
    expected, found = allocated(source), allocated(target)
    if abs(found - expected) > expected / 100:
        raise Failed(f"{source} takes {expected} bytes, its copy {found}")


def _copy_data(source: int, target: int, start: int, end: int) -> None:
    """Copy by read and write: copy_file_range(2) shares blocks on some filesystems."""
    buffer = memoryview(bytearray(4 * MIB))
    while start < end:
        count = os.preadv(source, [buffer[: end - start]], start)
        if count == 0:
            raise Failed("the image became shorter while it was copied")
        os.pwrite(target, buffer[:count], start)
        start += count
