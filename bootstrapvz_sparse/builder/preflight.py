"""Problems that are found before anything is created."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import upstream
from ..image.holes import probe
from ..util.permissions import unsafe_reason
from ..util.text import human

DEBOOTSTRAP_SCRIPTS = Path("/usr/share/debootstrap/scripts")

# Programs that bootstrap-vz runs without checking for them, with their Debian packages.
ALWAYS = {"chroot": "coreutils", "mount": "mount", "shred": "coreutils", "umount": "mount"}
FORMAT = {"blkid": "util-linux"}
BY_FILESYSTEM = {
    "ext2": {"mkfs.ext2": "e2fsprogs", "tune2fs": "e2fsprogs"},
    "ext3": {"mkfs.ext3": "e2fsprogs", "tune2fs": "e2fsprogs"},
    "ext4": {"mkfs.ext4": "e2fsprogs", "tune2fs": "e2fsprogs"},
    "xfs": {"mkfs.xfs": "xfsprogs"},
    "btrfs": {"mkfs.btrfs": "btrfs-progs"},
    "swap": {"mkswap": "util-linux"},
}
MIN_SPACE = 1 << 30  # bytes; a minimal Debian with a kernel peaks above this
MAX_NAME = 255  # maximum bytes of a file name


def problems(info: Any, tasks: set[Any], manifest: Path) -> Iterator[str]:
    """Yield a line for each problem that would make this build fail or unsafe."""
    yield from upstream.unavailable(tasks)
    yield from _missing_programs(info, tasks)
    yield from _release(info)
    yield from _destination(info, tasks)
    yield from _workspace(info, manifest)


def _missing_programs(info: Any, tasks: set[Any]) -> Iterator[str]:
    """Yield the programs that the tasks need and that are not installed."""
    from bootstrapvz.common.tasks import host

    # tasks that add programs; tasks that change the additions of others come last
    adding = [task for task in tasks if host.CheckExternalCommands in task.successors]
    for task in sorted(adding, key=lambda task: len(task.predecessors)):
        task.run(info)
    needed = {**ALWAYS, **info.host_dependencies}
    if info.manifest.volume["backing"] != "folder":
        needed.update(FORMAT)
        for partition in info.volume.partition_map.partitions:
            needed.update(BY_FILESYSTEM.get(partition.filesystem, {}))
    if missing := upstream.missing_programs(needed):
        yield missing


def _release(info: Any) -> Iterator[str]:
    """Yield a problem if debootstrap has no script for the release."""
    release = info.manifest.system["release"]
    if DEBOOTSTRAP_SCRIPTS.is_dir() and not (DEBOOTSTRAP_SCRIPTS / release).exists():
        yield (
            f"system.release: {release} is unknown to this host's debootstrap "
            f"(install a newer debootstrap; {DEBOOTSTRAP_SCRIPTS} lists the known releases)"
        )


def _destination(info: Any, tasks: set[Any]) -> Iterator[str]:
    """Yield the reasons why the image cannot have its name."""
    from bootstrapvz.common.tasks import image

    from ..plugin.tasks import move

    try:
        name = info.manifest.name.format(**info.manifest_vars)
    except (AttributeError, LookupError, ValueError) as error:
        yield f"name: {info.manifest.name}: unknown placeholder or wrong syntax: {error}"
        return
    file_name = f"{name}.{info.volume.extension}"
    if reason := _bad_name(name, file_name):
        yield f"name: {name!r} {reason} (the folder of the image is bootstrapper.workspace)"
    elif tasks & {image.MoveImage, move.MoveSparse}:
        path = Path(info.manifest.bootstrapper["workspace"], file_name)
        if os.path.lexists(path):
            yield f"{path}: already exists (move it away, or change name)"


def _bad_name(name: str, file_name: str) -> str | None:
    """Return why ``name`` cannot name a file in the workspace."""
    if "/" in name:
        return "contains a slash"
    if name in ("", ".", "..") or not name.isprintable():
        return "is not a plain file name"
    if len(os.fsencode(file_name)) > MAX_NAME:
        return f"is too long: a file name has at most {MAX_NAME} bytes"
    return None


def unsafe_workspace(folder: Path, manifest: Path) -> str | None:
    """Return why other users could interfere with a build in ``folder``; None if they cannot.

    A user who can write there can replace the folder of the run, and root would write elsewhere.
    The owner of the manifest is trusted: its commands are run as root. If the folder does not exist
    yet, its parents are examined.
    """
    while not folder.exists():
        folder = folder.parent
    reason = unsafe_reason(folder, [manifest.stat().st_uid], shared=True)
    return reason and f"bootstrapper.workspace: {reason} (use a folder that only root can write)"


def _workspace(info: Any, manifest: Path) -> Iterator[str]:
    """Yield the reasons why the workspace is unsafe, not writable, or cannot hold the image."""
    if os.path.lexists(info.workspace):  # used by this build only, and removed when it fails
        yield f"{info.workspace}: already exists (run the build again)"
    folder = Path(info.manifest.bootstrapper["workspace"])
    if reason := unsafe_workspace(folder, manifest):
        yield reason
    while not folder.exists():
        folder = folder.parent
    try:
        can = probe(folder)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        yield f"{folder}: not writable: {error.strerror}"
        return
    needed = min(int(info.volume.size.bytes), MIN_SPACE)
    if "sparse" in info.manifest.plugins and not can.sparse:
        yield f"{folder}: this filesystem cannot hold sparse files (use ext4, xfs, btrfs or tmpfs)"
    if free < needed:
        yield f"{folder}: {human(free)} free, a build needs at least {human(needed)}"
