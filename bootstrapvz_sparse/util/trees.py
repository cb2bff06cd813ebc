"""Folders by descriptor: held whatever their names become, removed, never across a mount point."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def anchored(folder: Path) -> Iterator[Path]:
    """Yield a path of ``folder`` that leads to it even when another user renames or replaces it.

    Only this process can use the path: proc_pid_fd(5).

    :raises OSError: there is no such folder
    """
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield Path(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def remove_tree(path: Path, inode: int | None = None) -> bool:
    """Remove the folder ``path`` with everything in it that can be removed.

    Symbolic links are not followed; nothing is removed behind a mount point or in another
    filesystem. With ``inode`` only if ``path`` is that folder. Return whether it is gone.
    """
    try:
        parent = os.open(path.parent, FOLDER & ~os.O_NOFOLLOW)
    except OSError:
        return not os.path.lexists(path)
    try:
        with suppress(OSError, RecursionError):
            _remove(parent, path.name, _place(parent), inode)
    finally:
        os.close(parent)
    return not os.path.lexists(path)


def _remove(parent: int, name: str, place: tuple[int, str], inode: int | None = None) -> None:
    """Remove the folder ``name`` in the folder that is open as ``parent``.

    :raises OSError: it is not a folder, lies elsewhere than in ``place``, or is not empty then
    """
    fd = os.open(name, FOLDER, dir_fd=parent)
    try:
        if inode is not None and os.fstat(fd).st_ino != inode:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        if _place(fd) != place:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        for entry in os.listdir(fd):
            with suppress(OSError):  # what cannot be removed keeps its parents
                if stat.S_ISDIR(os.stat(entry, dir_fd=fd, follow_symlinks=False).st_mode):
                    _remove(fd, entry, place)
                else:
                    os.unlink(entry, dir_fd=fd)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=parent)


def _place(fd: int) -> tuple[int, str]:
    """Return the filesystem and the mount that an open folder lies in.

    A folder that is bound elsewhere keeps its filesystem, and has another mount:
    proc_pid_fdinfo(5).
    """
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
        mount = next((line for line in file if line.startswith("mnt_id:")), "")
    return os.fstat(fd).st_dev, mount
