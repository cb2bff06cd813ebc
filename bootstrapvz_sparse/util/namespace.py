"""A mount namespace for this process and the programs that it starts: mount_namespaces(7)."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterator

CLONE_FS, CLONE_NEWNS = 0x200, 0x20000  # linux/sched.h
MS_REC, MS_PRIVATE = 0x4000, 0x40000  # linux/mount.h
MAX_DEPTH = 2048  # folders in a path of PATH_MAX bytes

_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def private_mounts() -> Iterator[None]:
    """Run the body in its own mount namespace; its mounts are not visible elsewhere.

    They end with the last process in the namespace: nothing stays mounted after SIGKILL, and
    containers started meanwhile do not inherit them. Threads that are already running stay outside.

    :raises OSError: not permitted, or /proc is not mounted
    """
    before = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    with contextlib.closing(_Folders()) as folders, os.fdopen(before):
        _call("unshare", CLONE_NEWNS)
        try:
            _make_private()
            yield
        finally:
            _call("unshare", CLONE_FS)  # setns(2) fails while threads of the body share it
            _call("setns", before, CLONE_NEWNS)
            folders.enter()


class _Folders:
    """The root and the working directory of this process, saved to return to them."""

    def __init__(self) -> None:
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        self._root, self._working = os.open("/", flags), os.open(".", flags)

    def enter(self) -> None:
        """Return to both."""
        os.fchdir(self._root)
        os.chroot(".")
        os.fchdir(self._working)

    def leave(self) -> None:
        """Go up from the root to the root of the namespace."""
        os.fchdir(self._root)
        for _ in range(MAX_DEPTH):
            os.chdir("..")

    def close(self) -> None:
        os.close(self._root)
        os.close(self._working)


def _make_private() -> None:
    """Stop the propagation of mounts between this namespace and others."""
    try:
        _mount_private(b"/")
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # the root of a chroot is not a mount point: its mount is further up
        with contextlib.closing(_Folders()) as folders:
            try:
                os.chroot("/proc")  # the working directory is outside it, so ".." leads on
                folders.leave()
                _mount_private(b".")
            finally:
                folders.enter()


def _mount_private(path: bytes) -> None:
    _call("mount", None, path, None, MS_REC | MS_PRIVATE, None)


def _call(name: str, *arguments: bytes | int | None) -> None:
    """Call a function of the C library.

    :raises OSError: it fails
    """
    numbers = (ctypes.c_ulong(each) if isinstance(each, int) else each for each in arguments)
    if getattr(_libc, name)(*numbers) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
