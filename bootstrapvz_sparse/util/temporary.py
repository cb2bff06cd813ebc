"""Files that are not complete yet, beside the place where they will be.

Each is locked by flock(2) as long as somebody works on it: one that is not is what a run has left
that was killed, and the next run for the same place removes it.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from .errors import Refused

PREFIX, SUFFIX = ".", ".bvz-sparse"  # of the name: .disk.raw.XXXXXXXX.bvz-sparse
CHANCE = 8  # hexadecimal digits of it
OF_THE_NAME = 200  # bytes of it, of the 255 that a name can have
ANY = re.compile(rf"\..*\.[0-9a-f]{{{CHANCE}}}{re.escape(SUFFIX)}", re.S)


class Temporary(NamedTuple):
    """A new file, open for reading and writing, that only its owner may open.

    Programs are to write to ``/proc/self/fd/N``: what has the name may have been exchanged, in a
    folder that others can write.
    """

    path: Path
    fd: int

    def place(self, path: Path) -> None:
        """Give it its name, in place of what has it; the name is on disk then.

        :raises Refused: the temporary name is another file's meanwhile
        :raises OSError: see rename(2)
        """
        if not is_at(self.fd, self.path):
            raise Refused(f"{self.path} was replaced meanwhile")
        os.replace(self.path, path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def temporary(path: Path) -> Iterator[Temporary]:
    """A new file beside ``path``, for the body to fill and to place; removed if it does not.

    :raises OSError: it cannot be created
    """
    remove_stale(path)
    with _made(path, _create) as file:
        yield file


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """A new folder beside ``path``, for the time of the body.

    :raises OSError: it cannot be created
    """
    remove_stale(path)
    with _made(path, _make_folder) as folder:
        yield folder.path


def remove_stale(path: Path) -> list[Path]:
    """Remove what runs have left beside ``path`` that were killed; what was removed.

    That is: what has such a name, is of this user, and locked by nobody.
    """
    return [found for found in _of(path.name, path.parent) if _is_stale(found, remove=True)]


def stale(folder: Path, *, remove: bool) -> list[Path]:
    """That for any path in ``folder``; it is only removed if it is to be."""
    found = sorted(name for name in os.listdir(folder) if ANY.fullmatch(name))
    return [folder / name for name in found if _is_stale(folder / name, remove=remove)]


def _is_stale(path: Path, *, remove: bool) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # gone, of somebody else, or a symbolic link
        return False
    try:
        with suppress(OSError):  # a filesystem without locks
            if _is_of_ours(os.fstat(fd)) and _locks(fd, path):
                if remove:
                    _remove(path)
                return True
    finally:
        os.close(fd)
    return False


def _is_of_ours(status: os.stat_result) -> bool:
    kind = stat.S_IFMT(status.st_mode)
    return status.st_uid == os.geteuid() and kind in (stat.S_IFREG, stat.S_IFDIR)


def _start(name: str) -> str:
    return f"{PREFIX}{os.fsdecode(os.fsencode(name)[:OF_THE_NAME])}."


def _of(name: str, folder: Path) -> list[Path]:
    pattern = re.compile(rf"{re.escape(_start(name))}[0-9a-f]{{{CHANCE}}}{re.escape(SUFFIX)}", re.S)
    try:
        return [folder / entry for entry in os.listdir(folder) if pattern.fullmatch(entry)]
    except OSError:  # that may not be listed
        return []


@contextmanager
def _made(path: Path, make: Callable[[Path], int]) -> Iterator[Temporary]:
    """What ``make`` makes and opens, locked; removed afterwards where it still has its name."""
    while True:
        name = path.parent / f"{_start(path.name)}{secrets.token_hex(CHANCE // 2)}{SUFFIX}"
        fd, ours = -1, True
        try:  # an interruption can come between any two lines
            try:
                fd = make(name)
            except FileExistsError:
                ours = False
                continue
            if _locks(fd, name):  # not taken for a leftover before it was locked
                yield Temporary(name, fd)
                return
        finally:
            if ours and (fd < 0 or is_at(fd, name)):
                _remove(name)
            if fd >= 0:
                os.close(fd)


def _create(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _make_folder(path: Path) -> int:
    path.mkdir(0o700)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _locks(fd: int, path: Path) -> bool:
    """Lock ``fd``, unless somebody else does; whether it is locked, and still has its name."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return is_at(fd, path)


def is_at(fd: int, path: Path) -> bool:
    """Whether the open file ``fd`` is what has the name ``path``, links not followed."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    return False


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
