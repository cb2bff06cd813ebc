"""The extents of a file as its filesystem lists them, unwritten ones included.

Source: https://docs.kernel.org/filesystems/fiemap.html, ``linux/fiemap.h``, ``linux/fs.h``.
"""

from __future__ import annotations

import errno
import fcntl
import struct
from typing import NamedTuple

from .extents import Ranges, union

FS_IOC_FIEMAP = 0xC020660B
FIEMAP_FLAG_SYNC = 0x1
FIEMAP_EXTENT_LAST = 0x1
FIEMAP_EXTENT_UNWRITTEN = 0x800
FIEMAP_EXTENT_SHARED = 0x2000

_HEADER = struct.Struct("=QQLLLL")  # start, length, flags, mapped extents, their count, reserved
_EXTENT = struct.Struct("=QQQ16xL12x")  # logical, physical, length, flags
_BATCH = 1024
LARGEST_FILE = (1 << 63) - 1  # blocks beyond the end of the file count, too
_NOT_SUPPORTED = (errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSYS, errno.EINVAL, errno.EBADR)


class Extents(NamedTuple):
    """The special extents of a file.

    ``unwritten``: byte ranges that are allocated but were never written, so they read as zeros;
    ``shared``: byte ranges in blocks shared with other files; ``beyond``: bytes allocated beyond
    the end of the file.
    """

    unwritten: Ranges
    shared: Ranges
    beyond: int = 0


def first_block(fd: int) -> int | None:
    """Return the position of the file's first extent on the disk, in bytes; None if unknown."""
    buffer = bytearray(_HEADER.size + _EXTENT.size)
    _HEADER.pack_into(buffer, 0, 0, LARGEST_FILE, 0, 0, 1, 0)
    try:
        fcntl.ioctl(fd, FS_IOC_FIEMAP, buffer)
    except OSError:
        return None
    mapped = _HEADER.unpack_from(buffer)[3]
    return _EXTENT.unpack_from(buffer, _HEADER.size)[1] if mapped else None


def extents(fd: int, size: int) -> Extents | None:
    """Return the extents of the file; None if its filesystem does not list them.

    :raises OSError: the file cannot be read
    """
    unwritten, shared, beyond = [], [], 0
    position = 0
    buffer = bytearray(_HEADER.size + _BATCH * _EXTENT.size)
    while True:
        length = LARGEST_FILE - position
        _HEADER.pack_into(buffer, 0, position, length, FIEMAP_FLAG_SYNC, 0, _BATCH, 0)
        try:
            fcntl.ioctl(fd, FS_IOC_FIEMAP, buffer)
        except OSError as error:
            if error.errno in _NOT_SUPPORTED:
                return None
            raise
        mapped = _HEADER.unpack_from(buffer)[3]
        for index in range(mapped):
            start, _, length, flags = _EXTENT.unpack_from(
                buffer, _HEADER.size + index * _EXTENT.size
            )
            position = start + length
            if start >= size:
                beyond += length
                continue
            end = min(position, size)
            if flags & FIEMAP_EXTENT_UNWRITTEN:
                unwritten.append((start, end))
            if flags & FIEMAP_EXTENT_SHARED:
                shared.append((start, end))
        if not mapped or flags & FIEMAP_EXTENT_LAST:
            return Extents(union(unwritten), union(shared), beyond)
