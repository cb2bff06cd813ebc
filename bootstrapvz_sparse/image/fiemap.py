"""The extents of a file as its filesystem lists them, allocated but unwritten ones too.

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
_NOT_SUPPORTED = (errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSYS, errno.EINVAL, errno.EBADR)


class Extents(NamedTuple):
    """Byte ranges of a file: allocated but never written, so that they read as zeros; and in
    blocks that other files have, too."""

    unwritten: Ranges
    shared: Ranges


def extents(fd: int, size: int) -> Extents | None:
    """What the filesystem says of the file's extents; None where it does not list them.

    :raises OSError: the file cannot be read
    """
    unwritten, shared = [], []
    position = 0
    buffer = bytearray(_HEADER.size + _BATCH * _EXTENT.size)
    while position < size:
        _HEADER.pack_into(buffer, 0, position, size - position, FIEMAP_FLAG_SYNC, 0, _BATCH, 0)
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
            if flags & FIEMAP_EXTENT_UNWRITTEN:
                unwritten.append((start, min(start + length, size)))
            if flags & FIEMAP_EXTENT_SHARED:
                shared.append((start, min(start + length, size)))
            position = start + length
        if not mapped or flags & FIEMAP_EXTENT_LAST:
            break
    return Extents(union(unwritten), union(shared))
