"""Incomplete files and folders, beside the place where the complete file will be.

Each is locked by flock(2) while a process works on it. One that is not locked was left by a killed
process, and the next run for the same place removes it. Each is marked by an extended attribute
with its inode: a name alone proves nothing in a folder where other users rename files.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from .errors import ImageInUse
from .trees import anchored, remove_tree

PREFIX, SUFFIX = ".", ".bvz-sparse"  # of the name: .disk.raw.XXXXXXXX.bvz-sparse
RANDOM_DIGITS = 8  # hexadecimal, the XXXXXXXX
MAX_STEM = 200  # bytes of the image's name in it; a name has at most 255
ANY = re.compile(rf"\..*\.[0-9a-f]{{{RANDOM_DIGITS}}}{re.escape(SUFFIX)}", re.S)
MARK = "user.bvz-sparse"  # the extended attribute


class Temporary(NamedTuple):
    """A new file, open for reading and writing, that only its owner may open.

    Programs must write to ``/proc/self/fd/N``: in a folder that other users can write, the file
    at ``path`` may have been exchanged. ``folder`` leads to its folder, see :func:`anchored`.
    """

    path: Path
    fd: int
    folder: Path

    def place(self, path: Path, folder: Path | None = None) -> None:
        """Rename the file to ``path``, replacing the file there, and wait until that is on disk.

        ``folder`` leads to the folder of ``path`` where that is not the file's own.

        :raises ImageInUse: the temporary name belongs to another file now
        :raises OSError: see rename(2)
        """
        here, there = self.folder / self.path.name, folder or self.folder
        if not is_at(self.fd, here):
            raise ImageInUse(f"{self.path}: replaced by another file")
        with suppress(OSError):
            os.removexattr(self.fd, MARK)
        os.replace(here, there / path.name)
        fd = os.open(there, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


@contextmanager
def temporary(path: Path, folder: Path | None = None) -> Iterator[Temporary]:
    """Create a file beside ``path`` for the body to fill and place; remove it if it does not.

    ``folder`` leads to the folder of ``path`` where the caller holds it already.

    :raises OSError: it cannot be created
    """
    with _created(path, _create_file, folder) as file:
        yield file


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Create a folder beside ``path`` for the duration of the body.

    :raises OSError: it cannot be created
    """
    with _created(path, _create_folder) as folder:
        yield folder.path


def remove_stale(path: Path, folder: Path | None = None) -> list[Path]:
    """Remove the temporaries that killed processes left beside ``path``, and return their paths.

    ``folder`` leads to the folder of ``path`` where the caller holds it already.
    """
    candidates = _temporaries_of(path.name, folder or path.parent)
    return [candidate for candidate in candidates if _is_stale(candidate, remove=True)]


def stale(folder: Path, *, remove: bool) -> list[Path]:
    """Return all temporaries in ``folder`` that killed processes left, removed if ``remove``.

    :raises OSError: the folder cannot be listed
    """
    names = sorted(name for name in os.listdir(folder) if ANY.fullmatch(name))
    return [folder / name for name in names if _is_stale(folder / name, remove=remove)]


def _is_stale(path: Path, *, remove: bool) -> bool:
    """Return whether a killed process of this user left ``path``; and ``remove`` it then."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # gone, of another user, or a symbolic link
        return False
    try:
        with suppress(OSError):  # a filesystem without locks
            if _is_ours(fd, path) and _lock(fd, path):
                return _remove(fd, path) if remove else True
    finally:
        os.close(fd)
    return False


def _is_ours(fd: int, path: Path) -> bool:
    """Return whether this user's process created the open file or folder.

    One that has no mark and no content was created right before the process was killed, or in a
    filesystem without extended attributes: nothing is lost with it.
    """
    status = os.fstat(fd)
    if status.st_uid != os.geteuid():
        return False
    with suppress(OSError):
        return os.getxattr(fd, MARK) == _mark(status)
    if stat.S_ISDIR(status.st_mode):
        return not os.listdir(fd)
    return stat.S_ISREG(status.st_mode) and status.st_size == 0


def _mark(status: os.stat_result) -> bytes:
    """Return the value of the mark, which a copy of the file does not have."""
    return str(status.st_ino).encode()


def _start(name: str) -> str:
    return f"{PREFIX}{os.fsdecode(os.fsencode(name)[:MAX_STEM])}."


def _temporaries_of(name: str, folder: Path) -> list[Path]:
    digits = f"[0-9a-f]{{{RANDOM_DIGITS}}}"
    pattern = re.compile(rf"{re.escape(_start(name))}{digits}{re.escape(SUFFIX)}", re.S)
    try:
        return [folder / entry for entry in os.listdir(folder) if pattern.fullmatch(entry)]
    except OSError:  # the folder may not be listed
        return []


@contextmanager
def _created(
    path: Path, create: Callable[[Path], int], folder: Path | None = None
) -> Iterator[Temporary]:
    """Create a temporary, locked and marked; remove it afterwards if it still has its name."""
    if folder is None:
        with anchored(path.parent) as held, _created(path, create, held) as file:
            yield file
        return
    remove_stale(path, folder)
    while True:
        digits = os.urandom(RANDOM_DIGITS // 2).hex()
        name = folder / f"{_start(path.name)}{digits}{SUFFIX}"
        fd, ours = -1, True
        try:  # an interruption can come between any two lines
            try:
                fd = create(name)
            except FileExistsError:
                ours = False
                continue
            except OSError as error:
                error.filename = str(path.parent / name.name)
                raise
            if _lock(fd, name):  # not taken for a leftover before it was locked
                with suppress(OSError):  # a filesystem without extended attributes
                    os.setxattr(fd, MARK, _mark(os.fstat(fd)))
                yield Temporary(path.parent / name.name, fd, folder)
                return
        finally:
            if ours and fd < 0:
                _remove_empty(name)
            elif ours:
                _remove(fd, name)
            if fd >= 0:
                os.close(fd)


def _create_file(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _create_folder(path: Path) -> int:
    path.mkdir(0o700)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _lock(fd: int, path: Path) -> bool:
    """Lock ``fd`` unless another process does; return whether that is done and it is ``path``."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return is_at(fd, path)


def is_at(fd: int, path: Path) -> bool:
    """Return whether the open file ``fd`` has the name ``path``, not following links."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    return False


def _remove(fd: int, path: Path) -> bool:
    """Remove the open file or folder if it still has the name ``path``; return whether it is."""
    if not is_at(fd, path):
        return False
    status = os.fstat(fd)
    if stat.S_ISDIR(status.st_mode):
        return remove_tree(path, status.st_ino)
    path.unlink(missing_ok=True)
    return True


def _remove_empty(path: Path) -> None:
    """Remove a file that was created right before an interruption and not opened."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        elif path.lstat().st_size == 0:
            path.unlink()
