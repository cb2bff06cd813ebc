"""Folders that the build writes to and empties again: beside the image, not in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bootstrapvz.base import Task
from bootstrapvz.common import phases
from bootstrapvz.common.exceptions import TaskError
from bootstrapvz.common.tasks import apt, cleanup, filesystem, packages, workspace
from bootstrapvz.common.tools import log_check_call
from bootstrapvz.plugins.prebootstrapped import tasks as prebootstrapped

from ..settings import Settings
from .reclaim import EnableOnlineDiscard

FOLDER = "scratch"  # in the workspace of this build
OPEN_TO_ALL = ("tmp", "var/tmp")  # apt works there as a user of its own


def _folders(info: Any) -> Iterator[tuple[str, Path, Path]]:
    """Each folder: its path in the image, that in the workspace, and the mount point."""
    for folder in Settings.of(info.manifest.plugins).scratch:
        source = Path(info.workspace, FOLDER, folder.replace("/", "-"))
        yield folder, source, Path(info.root, folder)


class Bind(Task):
    """Before debootstrap, whose downloads are the first that would be written and freed."""

    description = "Binding folders of the workspace into the image"
    phase = phases.volume_mounting
    predecessors = [filesystem.MountRoot, filesystem.MountBoot, EnableOnlineDiscard]

    @classmethod
    def run(cls, info: Any) -> None:
        root = info.volume.partition_map.root
        bound = []
        try:
            for folder, source, point in _folders(info):
                _make(Path(info.root), folder)
                source.mkdir(parents=True)
                _copy(source=point, destination=source)
                root.add_mount(str(source), folder, ["--bind"])
                bound.append(folder)
        except BaseException:
            # a task that fails is not undone by its counter task
            for folder in reversed(bound):
                root.remove_mount(folder)
            shutil.rmtree(Path(info.workspace, FOLDER), ignore_errors=True)
            raise


class Outline(Task):
    """For the copy that the ``prebootstrapped`` plugin makes of the image at this moment.

    What is bound is not in it. Files can be done without, but apt's folders belong to its package.
    """

    description = "Making folders in the image that exist only in the workspace"
    phase = phases.package_installation
    predecessors = [packages.InstallPackages]
    successors = [prebootstrapped.CopyImage]

    @classmethod
    def run(cls, info: Any) -> None:
        root = info.volume.partition_map.root
        for folder, source, point in _folders(info):
            root.remove_mount(folder)
            for path in [source, *sorted(p for p in source.rglob("*") if _is_folder(p))]:
                made = point / path.relative_to(source)
                made.mkdir(exist_ok=True)
                status = path.stat()
                os.chown(made, status.st_uid, status.st_gid)
                made.chmod(stat.S_IMODE(status.st_mode))
            root.add_mount(str(source), folder, ["--bind"])


class Unbind(Task):
    """Once the system is clean: what is left then is what the image is to have."""

    description = "Putting into the image what is left in folders of the workspace"
    phase = phases.system_cleaning
    predecessors = [apt.AptClean, apt.PurgeUnusedPackages, cleanup.CleanTMP]

    @classmethod
    def run(cls, info: Any) -> None:
        for folder, source, point in _folders(info):
            info.volume.partition_map.root.remove_mount(folder)
            if point.is_symlink() or os.path.ismount(point):
                raise TaskError(f"{point} is not the folder that it was")
            for entry in os.scandir(point):  # of an image that had been built before
                _remove(entry)
            _copy(source=source, destination=point)


class Delete(Task):
    """After a build as after its rollback."""

    description = "Deleting folders of the workspace that were bound into the image"
    phase = phases.cleaning
    successors = [workspace.DeleteWorkspace]

    @classmethod
    def run(cls, info: Any) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(Path(info.workspace, FOLDER))


def _make(root: Path, folder: str) -> None:
    """Make the folder in the image, where debootstrap would, unless it is there."""
    path = root
    for name in folder.split("/"):
        path = path / name
        if path.is_symlink():  # to a place of the host, as seen from here
            raise TaskError(f"plugins.sparse.scratch: {path} is a symbolic link")
        if not path.is_dir():
            path.mkdir()
            path.chmod(0o1777 if str(path.relative_to(root)) in OPEN_TO_ALL else 0o755)


def _copy(*, source: Path, destination: Path) -> None:
    """Give a folder the content, the mode and the owner of another."""
    log_check_call(["cp", "--archive", f"{source}/.", str(destination)])


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _remove(entry: os.DirEntry[str]) -> None:
    if entry.is_dir(follow_symlinks=False):
        shutil.rmtree(entry.path)
    else:
        os.unlink(entry.path)
