"""What a build left behind, and how to be rid of it.

Found by the folder of the build's run, which is that build's own: processes, mounts and loop
devices below it, and by its name what is in /dev.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Container
from pathlib import Path
from typing import NamedTuple

from ..upstream import loop_partitions
from ..util import loop, programs
from ..util.mounts import mounts as mounted

# The environment variable that all programs of a build inherit, with the folder of its run:
# debootstrap, say, has its root directory elsewhere.
MARK = "BVZ_SPARSE_BUILD"

# They serve the volume: ended when nothing is mounted from it any more.
SERVERS = ("qemu-nbd",)

BLOCK = Path("/sys/block")
PATIENCE = 10  # seconds
BUSY = 2  # seconds for which a program that was ended may still hold what it had open


class Leftover(NamedTuple):
    """A thing that a build left: what is to be done with ``name``, is done, is true if it fails."""

    name: str
    verb: str
    past: str
    still: str


def _is_below(path: str, folder: Path) -> bool:
    return path == str(folder) or path.startswith(f"{folder}/")


def processes(folder: Path, but: Container[str] = ()) -> dict[int, str]:
    """The programs of the build, ``but`` those called so: process ids and names.

    Known by their environment, which they inherit, or by their root directory:
    proc_pid_environ(5), proc_pid_root(5), proc_pid_comm(5).
    """
    mark, found = os.fsencode(f"{MARK}={folder}"), {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            root, environment = os.readlink(entry / "root"), (entry / "environ").read_bytes()
            name = (entry / "comm").read_text(errors="replace").rstrip("\n")
        except OSError:
            continue  # it has ended, or is a zombie
        ours = _is_below(root, folder) or mark in environment.split(b"\0")
        if ours and int(entry.name) != os.getpid() and name not in but:
            found[int(entry.name)] = name
    return found


def mounts(folder: Path) -> list[str]:
    """Mount points in ``folder``, the last mounted first, proc_pid_mountinfo(5)."""
    return [mount.point for mount in mounted() if _is_below(mount.point, folder)][::-1]


def loop_devices(folder: Path) -> list[str]:
    """Loop devices whose backing file lies in ``folder``."""
    return [device for device, backing in loop.attached() if _is_below(backing, folder)]


def mappings(device: str, block: Path = BLOCK) -> list[str]:
    """Names of the device-mapper devices on ``device``, those on top of others first.

    Documentation/ABI/stable/sysfs-block and testing/sysfs-block-dm of the kernel.
    """
    found: list[str] = []
    for holder in sorted((block / Path(device).name / "holders").glob("dm-*")):
        found += mappings(holder.name, block)
        found.append((block / holder.name / "dm" / "name").read_text().rstrip("\n"))
    return found


def found(folder: Path) -> list[Leftover]:
    """All that there is of the build, in the order in which it is undone."""
    everything = []
    for pid, name in processes(folder).items():
        everything.append(Leftover(f"process {pid} ({name})", "end", "ended", "still runs"))
    for point in mounts(folder):
        everything.append(Leftover(point, "unmount", "unmounted", "is still mounted"))
    devices = loop_devices(folder)
    for path in loop_partitions.device_links(folder.name, devices):
        everything.append(Leftover(str(path), "delete", "deleted", "is still there"))
    for mapping in (mapping for device in devices for mapping in mappings(device)):
        everything.append(Leftover(f"mapping {mapping}", "remove", "removed", "is still there"))
    for device in devices:
        everything.append(Leftover(device, "detach", "detached", "is still attached"))
    if folder.exists():
        everything.append(Leftover(str(folder), "delete", "deleted", "is still there"))
    return everything


def end_processes(folder: Path, but: Container[str] = (), *, patience: float = PATIENCE) -> None:
    """End the programs of the build, ``but`` some: first asked, then after ``patience`` s."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline, told = time.monotonic() + patience, set[int]()
        while (running := set(processes(folder, but))) and time.monotonic() < deadline:
            for pid in running - told:  # some may have been started meanwhile
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            told |= running
            time.sleep(0.05)


def unmount(folder: Path, keep: Container[str] = ()) -> None:
    """Unmount all that is mounted in ``folder``, but for the mount points to ``keep``."""
    for point in mounts(folder):
        if point not in keep:
            _try("umount", point)


def _try(*command: str) -> None:
    """What does not succeed is still there afterwards, and named then."""
    programs.trace(command)
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)


def release(folder: Path) -> None:
    """End, unmount and detach all that a build left, and delete what it made in /dev."""
    end_processes(folder, SERVERS)
    unmount(folder)
    deadline = time.monotonic() + BUSY
    while mounts(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
        unmount(folder)
    if mounts(folder):  # what they are on is needed until they are gone
        return
    devices = loop_devices(folder)
    loop_partitions.delete_device_links(folder.name, devices)
    for device in devices:
        for mapping in mappings(device):
            _try("dmsetup", "remove", mapping)
        _try("losetup", "--detach", device)
    end_processes(folder)
    deadline = time.monotonic() + PATIENCE
    while loop_devices(folder) and time.monotonic() < deadline:  # udev, say, looks at one
        time.sleep(0.05)


def undo(folder: Path) -> list[Leftover]:
    """Release what a build left and delete the folder of its run; what could not be undone."""
    release(folder)
    if all(leftover.verb == "delete" for leftover in found(folder)):  # nothing uses it
        shutil.rmtree(folder, ignore_errors=True)
    return found(folder)
