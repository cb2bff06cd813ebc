"""Backing files of loop devices, identified even when their path is no longer valid.

sysfs shows a path as seen from the mount that the file was opened in. Once the mount namespace of a
killed build has ended, that path lacks the mount point of its filesystem.
"""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import NamedTuple

from ..util.loop import INFO, LOOP_GET_STATUS64


class Backing(NamedTuple):
    """The path that losetup gave, cut off after 63 bytes, and the file's device and inode."""

    name: str
    identity: tuple[int, int]


def backing_file(device: str) -> Backing | None:
    """Return the backing file of a loop device; None if it has none."""
    try:
        fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = fcntl.ioctl(fd, LOOP_GET_STATUS64, bytes(INFO.size))
        finally:
            os.close(fd)
    except OSError:  # detached meanwhile
        return None
    number, inode, *_, name = INFO.unpack(data)
    return Backing(os.fsdecode(name.split(b"\0")[0]), (number, inode))


def is_in(backing: Backing, folder: Path) -> bool:
    """Return whether the file was attached in ``folder``, or lies there now."""
    if backing.name.startswith(f"{folder}/"):
        return True
    return backing.identity in _files(folder)


def leads_to(path: str, backing: Backing) -> bool:
    """Return whether ``path`` leads to the file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return False
    return (status.st_dev, status.st_ino) == backing.identity


def _files(folder: Path) -> set[tuple[int, int]]:
    """Return the identities of the files in ``folder``, one of which is the volume."""
    try:
        with os.scandir(folder) as entries:
            states = [entry.stat(follow_symlinks=False) for entry in entries]
    except OSError:
        return set()
    return {(each.st_dev, each.st_ino) for each in states if stat.S_ISREG(each.st_mode)}
