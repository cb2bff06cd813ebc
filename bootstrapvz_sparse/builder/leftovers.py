"""Find and remove the leftovers of a build.

They are found by the folder of the run, which is unique to the build: processes, mounts and loop
devices below it, and nodes in /dev by its name. The mounts of a build lie in its own mount
namespace and end with its processes; they are visible only when the build itself calls this.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Container
from pathlib import Path
from typing import NamedTuple

from ..upstream import loop_partitions
from ..util import loop, programs
from ..util.errors import ProgramFailed, ProgramMissing
from ..util.holders import used_by
from ..util.mounts import mounts as mounted
from ..util.trees import remove_tree
from .backing import backing_file, is_in, leads_to

# The environment variable that all programs of a build inherit, with the folder of its run:
# debootstrap, for example, has its root directory elsewhere.
MARK = "BVZ_SPARSE_BUILD"

# They serve the volume, so they are ended after everything on it is unmounted.
SERVERS = ("qemu-nbd",)

BLOCK = Path("/sys/block")
PATIENCE = 10  # seconds
BUSY = 2  # seconds for which a mount may stay busy after its users have ended


class Leftover(NamedTuple):
    """A resource left behind by a build, with the verbs used to report its removal."""

    name: str
    verb: str
    past: str
    still: str
    device: str = ""

    def failure(self) -> str:
        """Return the error message for a leftover that could not be removed."""
        users = used_by(self.device) if self.device else ""
        remedy = " (end that program)" if users else ""
        return f"{self.name}: {self.still}{users}{remedy}"


def _is_below(path: str, folder: Path) -> bool:
    return path == str(folder) or path.startswith(f"{folder}/")


def processes(folder: Path, exclude: Container[str] = ()) -> dict[int, str]:
    """Return the programs of the build, except those named in ``exclude``: process ids and names.

    They are recognised by their inherited environment or their root directory:
    proc_pid_environ(5), proc_pid_root(5), proc_pid_comm(5).
    """
    mark, result = os.fsencode(f"{MARK}={folder}"), {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            root, environment = os.readlink(entry / "root"), (entry / "environ").read_bytes()
            name = (entry / "comm").read_text(errors="replace").rstrip("\n")
        except OSError:
            continue  # it has ended, or is a zombie
        ours = _is_below(root, folder) or mark in environment.split(b"\0")
        if ours and int(entry.name) != os.getpid() and name not in exclude:
            result[int(entry.name)] = name
    return result


def mounts(folder: Path) -> list[str]:
    """Return the mount points in ``folder``, the last mounted first."""
    return [mount.point for mount in mounted() if _is_below(mount.point, folder)][::-1]


def loop_devices(folder: Path) -> list[str]:
    """Return the loop devices with a backing file in ``folder``."""
    return [device for device, path in loop.attached() if _is_attached(device, path, folder)]


def _is_attached(device: str, path: str, folder: Path) -> bool:
    """Return whether ``device`` has a file in ``folder``; ``path`` is the one that sysfs shows."""
    if _is_below(path, folder):
        return True
    backing = backing_file(device)
    return backing is not None and not leads_to(path, backing) and is_in(backing, folder)


def mappings(device: str, block: Path = BLOCK) -> list[str]:
    """Return the names of the device-mapper devices on top of ``device``, the topmost first.

    Documentation/ABI/stable/sysfs-block and testing/sysfs-block-dm of the kernel.
    """
    names: list[str] = []
    for holder in sorted((block / Path(device).name / "holders").glob("dm-*")):
        names += mappings(holder.name, block)
        names.append((block / holder.name / "dm" / "name").read_text().rstrip("\n"))
    return names


def find_leftovers(folder: Path) -> list[Leftover]:
    """Return the leftovers of the build, in the order in which they must be removed."""
    result = []
    for pid, name in processes(folder).items():
        result.append(Leftover(f"process {pid} ({name})", "end", "ended", "still runs"))
    for point in mounts(folder):
        result.append(Leftover(point, "unmount", "unmounted", "still mounted"))
    devices = loop_devices(folder)
    for path in loop_partitions.device_links(folder.name, devices):
        result.append(Leftover(str(path), "delete", "deleted", "still there"))
    for mapping in (mapping for device in devices for mapping in mappings(device)):
        result.append(Leftover(f"mapping {mapping}", "remove", "removed", "still there"))
    for device in devices:
        result.append(Leftover(device, "detach", "detached", "still attached", device))
    if folder.exists():
        result.append(Leftover(str(folder), "delete", "deleted", "still there"))
    return result


def end_processes(
    folder: Path, exclude: Container[str] = (), *, patience: float = PATIENCE
) -> None:
    """End the programs of the build, except those named: SIGTERM, SIGKILL after ``patience`` s."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline, signalled = time.monotonic() + patience, set[int]()
        while (running := set(processes(folder, exclude))) and time.monotonic() < deadline:
            for pid in running - signalled:  # some may have been started meanwhile
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            signalled |= running
            time.sleep(0.05)


def unmount(folder: Path, keep: Container[str] = ()) -> None:
    """Unmount everything in ``folder``, except the mount points to ``keep``."""
    for point in mounts(folder):
        if point not in keep:
            _try("umount", "--", point)


def _try(program: str, *arguments: str) -> None:
    """Run a program; if it fails, the remaining resource is reported later."""
    with contextlib.suppress(ProgramFailed, ProgramMissing):
        programs.run(program, *arguments)


def release(folder: Path) -> None:
    """End the processes of a build, detach its devices, delete its nodes in /dev."""
    end_processes(folder, SERVERS)
    unmount(folder)
    deadline = time.monotonic() + BUSY
    while mounts(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
        unmount(folder)
    if mounts(folder):  # their devices are needed until they are unmounted
        return
    devices = loop_devices(folder)
    loop_partitions.delete_device_links(folder.name, devices)
    for device in devices:
        for mapping in mappings(device):
            _try("dmsetup", "remove", mapping)
        _try("losetup", "--detach", device)
    end_processes(folder)
    deadline = time.monotonic() + PATIENCE
    while loop_devices(folder) and time.monotonic() < deadline:  # udev, for example, reads it
        time.sleep(0.05)


def undo(folder: Path, inode: int | None = None) -> list[Leftover]:
    """Release the leftovers of a build and delete the folder of its run; return any that remain.

    With ``inode``, the folder is deleted only if it has that inode.
    """
    release(folder)
    if all(leftover.verb == "delete" for leftover in find_leftovers(folder)):  # not in use
        remove_tree(folder, inode)
    return find_leftovers(folder)
