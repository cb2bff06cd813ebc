"""Find the processes that use a block device or a file, in any mount namespace.

An ordinary user sees only their own processes. Sources: proc_pid_fd(5), proc_pid_mountinfo(5),
proc_pid_comm(5).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .mounts import mounts

MAX_NAMED = 3  # maximum number of processes in a message


def holders(device: str) -> list[str]:
    """Return the processes that have ``device`` mounted or open, with their use of it.

    Only the first process of each mount namespace is named.

    :raises OSError: there is no such device
    """
    number, result, namespaces = os.stat(device).st_rdev, [], set()
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            name = (process / "comm").read_text(errors="replace").rstrip("\n")
            namespace = os.readlink(process / "ns" / "mnt")
            if namespace not in namespaces:
                namespaces.add(namespace)
                if point := _mount_point(process.name, device, number):
                    result.append(f"{name} (PID {process.name}), mounted on {point}")
                    continue
            if process.name != str(os.getpid()) and _has_open(process, number):
                result.append(f"{name} (PID {process.name})")
        except OSError:
            continue  # it has ended, or belongs to another user
    return result


def _mount_point(process: str, device: str, number: int) -> str | None:
    """Return the point where the process sees the device mounted, if any."""
    wanted = f"{os.major(number)}:{os.minor(number)}"
    for mount in mounts(process):
        if mount.device == wanted or mount.source == device:  # btrfs has numbers of its own
            return mount.point
    return None


def _has_open(process: Path, number: int) -> bool:
    for fd in (process / "fd").iterdir():
        try:
            status = fd.stat()
        except OSError:
            continue  # closed meanwhile
        if stat.S_ISBLK(status.st_mode) and status.st_rdev == number:
            return True
    return False


def used_by(device: str) -> str:
    """Return ``, used by ...`` for an error message; "" if no process is known."""
    try:
        users = holders(device)
    except OSError:
        users = []
    more = ["others"] if len(users) > MAX_NAMED else []
    return f", used by {' and '.join([*users[:MAX_NAMED], *more])}" if users else ""


def users_of_file(status: os.stat_result) -> list[str]:
    """Return ``NAME (PID 123)`` of the other processes that have the file open."""
    users = []
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            if any(_is_same(fd, status) for fd in (process / "fd").iterdir()):
                name = (process / "comm").read_text(errors="replace").rstrip("\n")
                users.append(f"{name} (PID {process.name})")
        except OSError:
            continue  # it has ended, or belongs to another user
    return users


def mount_points_of_file(status: os.stat_result) -> list[str]:
    """Return the points where the file is mounted without a loop device, as erofs can be."""
    points, namespaces = [], set()
    for process in [Path("/proc/self"), *Path("/proc").glob("[0-9]*")]:
        try:
            namespace = os.readlink(process / "ns" / "mnt")
            if namespace in namespaces:
                continue
            namespaces.add(namespace)
            for mount in mounts(process.name):
                is_path = mount.source.startswith("/") and not mount.source.startswith("/dev/")
                if is_path and _is_same(Path(f"{process}/root{mount.source}"), status):
                    points.append(mount.point)
        except OSError:
            continue
    return points


def _is_same(path: Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), status)
    except (OSError, ValueError):
        return False
