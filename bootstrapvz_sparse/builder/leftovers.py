"""Processes, mounts and loop devices below a folder, and how to be rid of them.

Used on the workspace of one build, which is that build's own: whatever is found there is of it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Container
from pathlib import Path

from ..image import loop


def _is_below(path: str, folder: Path) -> bool:
    return path == str(folder) or path.startswith(f"{folder}/")


def processes(folder: Path) -> list[int]:
    """Process ids of those whose root directory lies in ``folder``, proc_pid_root(5)."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                if _is_below(os.readlink(f"/proc/{entry.name}/root"), folder):
                    found.append(int(entry.name))
            except OSError:
                continue  # it has ended, or is a zombie
    return found


def mounts(folder: Path) -> list[str]:
    """Mount points in ``folder``, the last mounted first, proc_pid_mountinfo(5)."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            point = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), line.split()[4])
            if _is_below(point, folder):
                found.append(point)
    return found[::-1]


def loop_devices(folder: Path) -> list[str]:
    """Loop devices whose backing file lies in ``folder``."""
    return [device for device, backing in loop.attached() if _is_below(backing, folder)]


def end_processes(folder: Path, patience: float = 10) -> None:
    """End what still runs with its root in ``folder``: first asked, then after ``patience`` s."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + patience
        for pid in processes(folder):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        while processes(folder) and time.monotonic() < deadline:
            time.sleep(0.1)


def unmount(folder: Path, keep: Container[str] = ()) -> None:
    """Unmount all that is mounted in ``folder``, but for the mount points to ``keep``."""
    for point in mounts(folder):
        if point not in keep:
            _try("umount", point)


def _try(*command: str) -> None:
    """What does not succeed is still there afterwards, and named then."""
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)


def release(folder: Path) -> list[str]:
    """Undo all that a build left in ``folder``; name what could not be undone."""
    end_processes(folder)
    unmount(folder)
    for device in loop_devices(folder):
        _try("losetup", "--detach", device)
    return [f"{point} is still mounted" for point in mounts(folder)] + [
        f"{device} is still attached" for device in loop_devices(folder)
    ]
