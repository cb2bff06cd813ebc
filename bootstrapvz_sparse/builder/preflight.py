"""What can be known to fail, found before anything is created."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import upstream
from ..image.holes import probe
from ..util.text import human

DEBOOTSTRAP_SCRIPTS = Path("/usr/share/debootstrap/scripts")

# Programs that bootstrap-vz runs and does not ask for, with the Debian package of each.
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
LEAST_SPACE = 1 << 30  # bytes; a minimal Debian with a kernel peaks above this


def problems(info: Any, tasks: set[Any]) -> Iterator[str]:
    """A line for each thing that stands in the way of building what ``info`` describes."""
    yield from upstream.unavailable(tasks)
    yield from _missing_programs(info, tasks)
    yield from _release(info)
    yield from _destination(info, tasks)
    yield from _workspace(info)


def _missing_programs(info: Any, tasks: set[Any]) -> Iterator[str]:
    from bootstrapvz.common.tasks import host

    # the tasks that say which programs are needed, those that change what others said at last
    saying = [task for task in tasks if host.CheckExternalCommands in task.successors]
    for task in sorted(saying, key=lambda task: len(task.predecessors)):
        task.run(info)
    needed = {**ALWAYS, **info.host_dependencies}
    if info.manifest.volume["backing"] != "folder":
        needed.update(FORMAT)
        for partition in info.volume.partition_map.partitions:
            needed.update(BY_FILESYSTEM.get(partition.filesystem, {}))
    if missing := upstream.missing_programs(needed):
        yield missing


def _release(info: Any) -> Iterator[str]:
    release = info.manifest.system["release"]
    if DEBOOTSTRAP_SCRIPTS.is_dir() and not (DEBOOTSTRAP_SCRIPTS / release).exists():
        yield f"system.release: this host's debootstrap does not know {release}"


def _destination(info: Any, tasks: set[Any]) -> Iterator[str]:
    from bootstrapvz.common.tasks import image

    from ..plugin.tasks import move

    if tasks & {image.MoveImage, move.MoveSparse}:
        name = info.manifest.name.format(**info.manifest_vars)
        path = Path(info.manifest.bootstrapper["workspace"], f"{name}.{info.volume.extension}")
        if os.path.lexists(path):
            yield f"{path} is there already"


def _workspace(info: Any) -> Iterator[str]:
    """Whether the workspace can be written, holds holes, and has room."""
    if os.path.lexists(info.workspace):  # of this build alone: removed whole when it fails
        yield f"{info.workspace} is there already"
    folder = Path(info.manifest.bootstrapper["workspace"])
    while not folder.exists():
        folder = folder.parent
    try:
        can = probe(folder)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        yield f"nothing can be written in {folder}: {error.strerror}"
        return
    least = min(int(info.volume.size.bytes), LEAST_SPACE)
    if "sparse" in info.manifest.plugins and not can.sparse:
        yield f"the filesystem of {folder} cannot hold sparse files"
    if free < least:
        yield (
            f"the filesystem of {folder} has {human(free)} left, and a build needs at least "
            f"{human(least)}"
        )
