"""Punch holes into files, and find out where this is supported.

Source of the constants and the meaning of errno: fallocate(2), ``linux/falloc.h``,
``linux/fs.h``.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ..util.errors import Unsupported
from .extents import Ranges, allocated

FALLOC_FL_KEEP_SIZE = 0x01
FALLOC_FL_PUNCH_HOLE = 0x02
FICLONE = 0x40049409  # ioctl_ficlonerange(2)
LARGEST_BLOCK = 1 << 16
NOT_SUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODEV)

_fallocate = ctypes.CDLL(None, use_errno=True).fallocate
_fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
_fallocate.restype = ctypes.c_int


def punch(fd: int, start: int, end: int) -> None:
    """Free the bytes from ``start`` up to ``end``: they read as zeros, and the size stays.

    :raises Unsupported: the filesystem cannot punch holes
    :raises OSError: any other failure, see fallocate(2): ENOSPC where a longer list of extents
        finds no room, EROFS, EPERM on immutable and append-only files, EIO
    """
    mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
    if end == os.fstat(fd).st_size:
        end += LARGEST_BLOCK  # otherwise a partial last block would only be zeroed
    while _fallocate(fd, mode, start, end - start) != 0:
        number = ctypes.get_errno()
        if number == errno.EINTR:
            continue
        if number in NOT_SUPPORTED:
            raise Unsupported(f"punching holes: {os.strerror(number)}")
        raise OSError(number, f"punching a hole at byte {start}: {os.strerror(number)}")


Watch = Callable[[], object]  # raises an exception to stop the work


def punch_all(fd: int, ranges: Ranges, watch: Watch) -> None:
    """Punch ``ranges``; ``watch`` is called before each.

    :raises Unsupported, OSError: as :func:`punch`, and any exception from ``watch``
    """
    for start, end in ranges:
        watch()
        punch(fd, start, end)


@contextmanager
def punching(fd: int, ranges: Ranges, watch: Watch) -> Iterator[None]:
    """Punch ``ranges`` in a thread while the body runs; both have ended on leaving.

    When the body fails or is interrupted, the hole being punched is the last one.

    :raises Unsupported, OSError: as :func:`punch_all`
    """
    go, stop = threading.Event(), threading.Event()
    failures: list[Exception] = []

    def watch_and_stop() -> None:
        if stop.is_set():
            raise _Stopped
        watch()

    def work() -> None:
        go.wait()
        try:
            punch_all(fd, ranges, watch_and_stop)
        except _Stopped:
            return
        except Exception as failure:
            failures.append(failure)

    thread = threading.Thread(target=work)
    try:
        thread.start()
        go.set()
        yield
        thread.join()
    finally:
        stop.set()
        if go.is_set():
            thread.join()
        else:  # start() was interrupted: the thread, if there is one, ends without punching
            go.set()
    if failures:
        raise failures[0]


class _Stopped(Exception):
    pass


class Capabilities(NamedTuple):
    """The abilities of the filesystem of a folder.

    ``sparse``: a file can have blocks that are not allocated. ``punch``: allocated blocks can be
    freed again. ``clone``: a file can share the blocks of another. ``block``: bytes of an
    allocation unit.
    """

    sparse: bool
    punch: bool
    clone: bool
    block: int


NO_NEW_FILES = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM)
PROBED = 1 << 20  # enough for a hole on filesystems of 64 KiB blocks


@contextmanager
def _nameless_file(folder: Path) -> Iterator[int]:
    try:
        fd = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (*NOT_SUPPORTED, errno.EISDIR, errno.EINVAL):
            raise
        path = folder / f".{os.urandom(8).hex()}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.unlink(path)
    try:
        yield fd
    finally:
        os.close(fd)


def probe(folder: Path) -> Capabilities:
    """Find out the capabilities of ``folder``, by trying them on files without a name.

    The name of a network or FUSE filesystem proves nothing: it depends on the underlying one.

    :raises OSError: the folder is not writable
    """
    with _nameless_file(folder) as fd:
        os.ftruncate(fd, 4 * PROBED)
        os.pwrite(fd, b"\1" * PROBED, 0)
        os.fsync(fd)
        before = allocated(os.fstat(fd))
        clone = _clones(fd, folder)
        try:
            punch(fd, 0, PROBED // 2)
            os.fsync(fd)
            punched = allocated(os.fstat(fd)) < before
        except Unsupported:
            punched = False
        return Capabilities(
            sparse=before < 2 * PROBED,
            punch=punched,
            clone=clone,
            block=os.fstatvfs(fd).f_frsize,
        )


def probe_file(fd: int) -> Capabilities:
    """Find out whether holes can be punched into the file ``fd``; this needs no space."""
    end = os.fstat(fd).st_size
    try:
        punch(fd, end, end + 1)  # nothing is there
        punched = True
    except Unsupported:
        punched = False
    return Capabilities(sparse=punched, punch=punched, clone=False, block=os.fstatvfs(fd).f_frsize)


def _clones(fd: int, folder: Path) -> bool:
    with _nameless_file(folder) as other:
        try:
            fcntl.ioctl(other, FICLONE, fd)
        except OSError as error:
            if error.errno in (*NOT_SUPPORTED, errno.ENOTTY, errno.EINVAL, errno.EXDEV):
                return False
            raise
    return True
