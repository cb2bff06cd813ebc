"""Doing something without any rights."""

from __future__ import annotations

import ctypes
import os
import stat
import tempfile
import traceback
from collections.abc import Callable

NOBODY = 65534


def as_nobody(work: Callable[[], object]) -> None:
    """Do ``work`` in a process without any rights."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def as_user_with_fuse(work: Callable[[], object]) -> None:
    """Do ``work`` as an ordinary user who may open /dev/fuse, which udev allows everybody.

    An ordinary user does it at once.
    """
    if os.geteuid() == 0:
        with tempfile.TemporaryDirectory() as folder:
            node = f"{folder}/fuse"
            os.mknod(node, stat.S_IFCHR, os.makedev(10, 229))
            os.chmod(node, 0o666)
            _with_fuse(node, lambda: as_nobody(work))
    else:
        work()


def without_fuse(work: Callable[[], object]) -> None:
    """Do ``work`` as root where /dev/fuse is no such device."""
    with tempfile.NamedTemporaryFile() as node:
        _with_fuse(node.name, work)


def _with_fuse(node: str, work: Callable[[], object]) -> None:
    """Do ``work`` in a process with a mount namespace where /dev/fuse is ``node``."""
    child = os.fork()
    if child == 0:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            assert libc.unshare(0x00020000) == 0  # CLONE_NEWNS
            assert libc.mount(None, b"/", None, 0x44000, None) == 0  # MS_REC | MS_PRIVATE
            assert libc.mount(node.encode(), b"/dev/fuse", None, 0x1000, None) == 0  # MS_BIND
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
