"""Open an image: only a regular file that no one else uses is changed.

The image is the open file. Its path is looked up once; from then on programs get the descriptor,
and other users of the file are found by device and inode.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..util import holders, loop
from ..util.errors import ImageInUse, InvalidImage
from ..util.temporary import is_at
from ..util.trees import anchored
from .fiemap import first_block
from .view import FileMap

INTERVAL = 0.1  # seconds between two looks at the users of the image

KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
    stat.S_IFIFO: "a fifo",
    stat.S_IFSOCK: "a socket",
}


class Image:
    """An open image.

    ``path``: its path without symbolic links; ``name``: the path as the user wrote it; ``size``:
    bytes; ``status``: as it was when it was opened; ``layered``: it is a copy of a file in a lower
    layer of overlayfs, which keeps its blocks; ``notes``: remarks for the user; ``folder``: a path
    that leads to its folder while it is open to be written, whatever its names become.
    """

    folder: Path | None = None

    def __init__(
        self, name: Path, path: Path, fd: int, status: os.stat_result, *, layered: bool = False
    ) -> None:
        self.name, self.path, self.fd, self.status = name, path, fd, status
        self.layered = layered
        self.size = status.st_size
        self.notes: list[str] = []
        self._checked = time.monotonic()

    @property
    def map(self) -> FileMap:
        """The bytes of the whole image."""
        return FileMap(self.fd, self.size)

    @property
    def times(self) -> tuple[int, int]:
        """Nanoseconds of the last access and modification before the image was opened."""
        return self.status.st_atime_ns, self.status.st_mtime_ns

    def watch(self) -> None:
        """Call :func:`recheck` at most every :data:`INTERVAL`.

        :raises ImageInUse: as :func:`recheck`
        """
        if time.monotonic() >= self._checked + INTERVAL:
            recheck(self)
            self._checked = time.monotonic()


@contextmanager
def opened(path: Path, *, write: bool = True) -> Iterator[Image]:
    """Open the image at ``path``; to write, only if no one else uses it.

    :raises InvalidImage: it is not a regular file, is empty, or may not be opened
    :raises ImageInUse: it is attached, mounted, or locked by another program
    :raises OSError: any other failure of open(2)
    """
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidImage(f"{path}: {error.strerror}") from error
    except ValueError as error:  # a zero byte in the path
        raise InvalidImage(f"{str(path)!r}: {error}") from error
    reader = -1
    try:
        _require_regular(path, os.fstat(place))
        reader = _reopen(place, path, write=False) if write else -1  # opens the lower file
        first = first_block(reader) if write else None
        fd = _reopen(place, path, write)
        layered = bool(first) and first_block(reader) != first
        real = Path(os.readlink(f"/proc/self/fd/{place}"))
    finally:
        os.close(place)
        if reader >= 0:
            os.close(reader)
    held = ExitStack()
    try:
        image = Image(path, real, fd, os.fstat(fd), layered=layered)
        if path.is_symlink():
            image.notes.append(f"{path} is a symbolic link to {real}")
        if write:
            image.folder = held.enter_context(_folder(image))
            _lock(image)
        if use := _use(image):
            if write:
                raise ImageInUse(f"{path}: {use}")
            image.notes.append(f"{path}: {use}; the figures may be out of date")
        yield image
    finally:
        held.close()
        os.close(fd)


@contextmanager
def _folder(image: Image) -> Iterator[Path]:
    """Hold the folder of the image.

    :raises ImageInUse: the image is not in it any more
    """
    try:
        with anchored(image.path.parent) as folder:
            if not is_at(image.fd, folder / image.path.name):
                raise ImageInUse(f"{image.path}: moved or replaced by another file")
            yield folder
    except FileNotFoundError as error:
        raise ImageInUse(f"{image.path}: {error.strerror}; it was moved or deleted") from error


def _require_regular(path: Path, status: os.stat_result) -> None:
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        raise InvalidImage(f"{path}: {KINDS.get(kind, 'a special file')}, not a regular file")
    if status.st_size == 0:
        raise InvalidImage(f"{path}: the file is empty")


def _reopen(place: int, path: Path, write: bool) -> int:
    """Open the file of an O_PATH descriptor: the very file that was judged."""
    try:
        flags = os.O_RDWR if write else os.O_RDONLY
        return os.open(f"/proc/self/fd/{place}", flags | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise InvalidImage(f"{path}: {error.strerror}") from error
        if error.errno == errno.ETXTBSY:
            raise ImageInUse(f"{path}: {error.strerror}") from error
        raise


def _use(image: Image) -> str:
    """Return how another program uses the image, with the remedy; "" if none does."""
    status = os.fstat(image.fd)
    if devices := loop.devices(status):
        remedy = f"losetup -d {' '.join(devices)}"
        return f"attached to {', '.join(devices)} (detach it: {remedy})"
    if points := holders.mount_points_of_file(status):
        return f"mounted on {points[0]} (unmount it: umount {points[0]})"
    return ""


F_OFD_SETLK = 37  # linux/fcntl.h
_WHOLE_FILE = (os.SEEK_SET, 0, 0, 0)  # whence, start, length, process


def _lock(image: Image) -> None:
    """Take both kinds of lock: flock(2), and the fcntl(2) lock that QEMU takes, too."""
    try:
        fcntl.flock(image.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.fcntl(image.fd, F_OFD_SETLK, struct.pack("hhqqi", fcntl.F_WRLCK, *_WHOLE_FILE))
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            users = holders.users_of_file(os.fstat(image.fd))
            by = ", ".join(users) or "another program"
            raise ImageInUse(f"{image.name}: locked by {by}") from error
        raise


def recheck(image: Image, *, unwritten: bool = False) -> None:
    """Check again that the image is still ours, during the work and after it.

    With ``unwritten``, it must not have been written to since it was opened.

    :raises ImageInUse: its path names another file, its size changed, or another program uses it
    """
    try:
        status = os.stat(image.path, follow_symlinks=False)
    except OSError as error:
        raise ImageInUse(f"{image.path}: {error.strerror}; it was moved or deleted") from error
    if not os.path.samestat(status, os.fstat(image.fd)):
        raise ImageInUse(f"{image.path}: replaced by another file")
    if image.folder and not is_at(image.fd, image.folder / image.path.name):
        raise ImageInUse(f"{image.path}: its folder was replaced by another one")
    if status.st_size != image.size:
        raise ImageInUse(
            f"{image.path}: size changed from {image.size} to {status.st_size} bytes; "
            "another process is writing to the image"
        )
    if unwritten and status.st_mtime_ns != image.status.st_mtime_ns:
        raise ImageInUse(f"{image.path}: another process wrote to the image")
    if use := _use(image):
        raise ImageInUse(f"{image.path}: {use}; the content read since then may be wrong")


def release_lock(image: Image) -> None:
    """Release the fcntl(2) lock for programs that lock as QEMU does; flock(2) remains."""
    fcntl.fcntl(image.fd, F_OFD_SETLK, struct.pack("hhqqi", fcntl.F_UNLCK, *_WHOLE_FILE))
