"""Opening an image: only a regular file that nobody else uses is changed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..util import loop
from ..util.errors import Refused
from ..util.mounts import mounts

INTERVAL = 0.1  # seconds between two looks at who uses the image


class Image:
    """An open image: its path without symbolic links, its size in bytes, remarks on it.

    ``times``: when it was last read and written before it was opened, in nanoseconds.
    """

    def __init__(self, path: Path, fd: int, size: int, times: tuple[int, int]) -> None:
        self.path, self.fd, self.size, self.times = path, fd, size, times
        self.notes: list[str] = []
        self._looked = time.monotonic()

    def watch(self) -> None:
        """Now and then :func:`recheck`, however often it is called.

        :raises Refused: as :func:`recheck`
        """
        if time.monotonic() >= self._looked + INTERVAL:
            recheck(self)
            self._looked = time.monotonic()


@contextmanager
def opened(path: Path, *, write: bool = True) -> Iterator[Image]:
    """Open the image at ``path``; to write, only where nobody else does anything with it.

    :raises Refused: no regular file, empty, not permitted, or in use by somebody
    :raises OSError: any other failure of open(2)
    """
    status = _status(path)
    real = Path(os.path.realpath(path))
    flags = (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
    try:
        fd = os.open(real, flags)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ETXTBSY):
            raise Refused(f"{path}: {error.strerror}") from error
        raise
    try:
        if not os.path.samestat(status, os.fstat(fd)):
            raise Refused(f"{path} was replaced while it was opened")
        times = status.st_atime_ns, status.st_mtime_ns
        image = Image(real, fd, os.fstat(fd).st_size, times)
        if path.is_symlink():
            image.notes.append(f"{path} is a symbolic link to {real}")
        if write:
            _lock(fd, path)
        if reason := _use(image):
            if write:
                raise Refused(f"{path} is {reason}")
            image.notes.append(f"{path} is {reason}: what is told of it may be out of date")
        yield image
    finally:
        os.close(fd)


def _status(path: Path) -> os.stat_result:
    try:
        status = path.stat()
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from error
    except ValueError as error:  # a zero byte
        raise Refused(f"{str(path)!r}: {error}") from error
    if not stat.S_ISREG(status.st_mode):
        kinds = {
            stat.S_IFDIR: "a directory",
            stat.S_IFBLK: "a block device",
            stat.S_IFCHR: "a character device",
            stat.S_IFIFO: "a fifo",
            stat.S_IFSOCK: "a socket",
        }
        kind = kinds.get(stat.S_IFMT(status.st_mode), "something else")
        raise Refused(f"{path} is {kind}, not a regular file")
    if status.st_size == 0:
        raise Refused(f"{path} is empty")
    return status


def _use(image: Image) -> str | None:
    """What somebody else does with the image."""
    if devices := loop.devices(image.fd):
        return f"attached to {', '.join(devices)}"
    if point := _mounted(image.path):
        return f"mounted on {point}"
    return None


F_OFD_SETLK = 37  # linux/fcntl.h
_WHOLE_FILE = (os.SEEK_SET, 0, 0, 0)  # whence, start, length, process


def _lock(fd: int, path: Path) -> None:
    """Take both kinds of lock: flock(2), and that of fcntl(2), which QEMU holds and asks for."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.fcntl(fd, F_OFD_SETLK, struct.pack("hhqqi", fcntl.F_WRLCK, *_WHOLE_FILE))
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise Refused(f"{path} is locked by another program") from error
        raise


def recheck(image: Image, *, unwritten: bool = False) -> None:
    """Look once more, while we work on the image or have done so.

    With ``unwritten``, before we write to it, it has to be as it was opened.

    :raises Refused: it is not where it was, has another size, or somebody uses it
    """
    status = _status(image.path)
    if not os.path.samestat(status, os.fstat(image.fd)):
        raise Refused(f"{image.path} was replaced meanwhile")
    if status.st_size != image.size:
        raise Refused(
            f"{image.path} had {image.size} bytes and has {status.st_size}: somebody changes it"
        )
    if unwritten and status.st_mtime_ns != image.times[1]:
        raise Refused(f"{image.path} was written to meanwhile")
    if reason := _use(image):
        raise Refused(f"{image.path} is {reason} meanwhile: what is read there may be wrong")


def lend(image: Image) -> None:
    """Let programs that lock as QEMU does work on the image; flock(2) remains."""
    fcntl.fcntl(image.fd, F_OFD_SETLK, struct.pack("hhqqi", fcntl.F_UNLCK, *_WHOLE_FILE))


def _mounted(image: Path) -> str | None:
    """Where the file itself is mounted, without a loop device, as erofs can be."""
    with contextlib.suppress(OSError):  # /proc is not mounted
        for mount in mounts():
            if mount.source == str(image):
                return mount.point
    return None
