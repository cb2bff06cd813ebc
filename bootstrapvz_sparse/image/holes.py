"""Punching holes into files, and finding out where that can be done.

Source of the constants and the meaning of errno: fallocate(2), ``linux/falloc.h``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .extents import allocated

FALLOC_FL_KEEP_SIZE = 0x01
FALLOC_FL_PUNCH_HOLE = 0x02

_fallocate = ctypes.CDLL(None, use_errno=True).fallocate
_fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
_fallocate.restype = ctypes.c_int


class NotSupported(Exception):
    """The filesystem that the file lies on cannot do this."""


def punch(fd: int, start: int, end: int) -> None:
    """Free the bytes from ``start`` up to ``end``: they read as zeros, the size stays.

    :raises NotSupported: the filesystem cannot punch holes
    :raises OSError: any other failure, see fallocate(2)
    """
    mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
    while _fallocate(fd, mode, start, end - start) != 0:
        number = ctypes.get_errno()
        if number == errno.EINTR:
            continue
        if number in (errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODEV):
            raise NotSupported(os.strerror(number))
        raise OSError(number, os.strerror(number))


@dataclass(frozen=True)
class Capabilities:
    """What the filesystem of a folder can do with files.

    ``sparse``: a file can have blocks that are not allocated. ``punch``: allocated blocks can be
    freed again. ``block``: bytes of an allocation unit.
    """

    sparse: bool
    punch: bool
    block: int


PROBED = 1 << 20  # enough for a hole on filesystems of 64 KiB blocks


def probe(folder: Path) -> Capabilities:
    """Find out what ``folder`` can do, by trying it on a file without a name there.

    Never by the name of the filesystem: what a network or FUSE filesystem can do hangs on what
    is below it.

    :raises OSError: nothing can be written there
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        fd = file.fileno()
        os.ftruncate(fd, 4 * PROBED)
        file.write(b"\1" * PROBED)
        file.flush()
        os.fsync(fd)
        before = allocated(os.fstat(fd))
        try:
            punch(fd, 0, PROBED // 2)
            os.fsync(fd)
            punched = allocated(os.fstat(fd)) < before
        except NotSupported:
            punched = False
        return Capabilities(
            sparse=before < 2 * PROBED, punch=punched, block=os.fstatvfs(fd).f_frsize
        )
