"""Find the programs and mounts that use a file, by its device and inode.

Sources: proc_pid_fd(5), proc_pid_mountinfo(5), proc_pid_comm(5).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")


def programs_with_file(status: os.stat_result) -> list[str]:
    """Return ``NAME (PID 123)`` of the other processes that have the file open.

    An ordinary user sees only the processes of that user.
    """
    users = []
    for process in _processes():
        if int(process.name) == os.getpid():
            continue
        try:
            opened = any(_is_same(path, status) for path in os.scandir(process / "fd"))
            if opened:
                name = (process / "comm").read_text(errors="replace").rstrip("\n")
                users.append(f"{name} (PID {process.name})")
        except OSError:  # it has ended, or is another user's
            continue
    return users


def mount_points(status: os.stat_result) -> list[str]:
    """Return where the file itself is mounted without a loop device, as erofs can be.

    Every mount namespace of a visible process is searched.
    """
    points, namespaces = [], set()
    for process in [PROC / "self", *_processes()]:
        try:
            namespace = os.readlink(process / "ns/mnt")
            if namespace in namespaces:
                continue
            namespaces.add(namespace)
            lines = (process / "mountinfo").read_bytes().splitlines()
        except OSError:
            continue
        for line in lines:
            fields, _, rest = line.partition(b" - ")
            source = _unescape(rest.split(b" ")[1])
            if source.startswith(b"/") and not source.startswith(b"/dev/"):
                path = os.fsencode(process / "root") + source
                if _is_same(os.fsdecode(path), status):
                    points.append(os.fsdecode(_unescape(fields.split(b" ")[4])))
    return points


def _processes() -> Iterator[Path]:
    return (PROC / name for name in os.listdir(PROC) if name.isdecimal())


def _is_same(path: str | os.DirEntry[str], status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), status)
    except (OSError, ValueError):
        return False


def _unescape(field: bytes) -> bytes:
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8) & 0xFF]), field)
