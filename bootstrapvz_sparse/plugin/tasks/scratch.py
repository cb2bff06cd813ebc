"""Keep folders with temporary files of the build out of the image."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from bootstrapvz.base import Task
from bootstrapvz.common import phases
from bootstrapvz.common.exceptions import TaskError
from bootstrapvz.common.tasks import apt, cleanup, filesystem, packages, workspace
from bootstrapvz.common.tools import log_check_call
from bootstrapvz.plugins.prebootstrapped import tasks as prebootstrapped

from .. import context
from ..context import Info
from .reclaim import EnableOnlineDiscard

FOLDER = "scratch"  # in the folder of the run
OPEN_TO_ALL = ("tmp", "var/tmp")  # apt works there as another user


def _folders(info: Info) -> Iterator[tuple[str, Path, Path]]:
    """Yield each folder: its path in the image, its path on the host, and its mount point."""
    for folder in context.settings(info).scratch:
        source = Path(info.workspace, FOLDER, folder.replace("/", "-"))
        yield folder, source, Path(info.root, folder)


class Bind(Task):
    """Bind the folders before debootstrap writes its downloads to them."""

    description = "Binding scratch folders into the image"
    phase = phases.volume_mounting
    predecessors = [filesystem.MountRoot, filesystem.MountBoot, EnableOnlineDiscard]

    @classmethod
    def run(cls, info: Info) -> None:
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
    """Create the bound folders in the image for the copy that ``prebootstrapped`` makes now.

    Bound folders are not part of that copy. Their files are not needed, but folders of apt belong
    to its package.
    """

    description = "Creating scratch folders in the image"
    phase = phases.package_installation
    predecessors = [packages.InstallPackages]
    successors = [prebootstrapped.CopyImage]

    @classmethod
    def run(cls, info: Info) -> None:
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
    """Unbind the folders once the system is clean, and copy the remaining files into the image."""

    description = "Copying scratch folders into the image"
    phase = phases.system_cleaning
    predecessors = [apt.AptClean, apt.PurgeUnusedPackages, cleanup.CleanTMP]

    @classmethod
    def run(cls, info: Info) -> None:
        for folder, source, point in _folders(info):
            info.volume.partition_map.root.remove_mount(folder)
            if point.is_symlink() or os.path.ismount(point):
                raise TaskError(f"plugins.sparse.scratch: {point} was replaced during the build")
            for entry in os.scandir(point):  # of a prebootstrapped image
                _remove(entry)
            _copy(source=source, destination=point)


class Delete(Task):
    """Delete the folders on the host, after a build and in its rollback."""

    description = "Deleting scratch folders"
    phase = phases.cleaning
    successors = [workspace.DeleteWorkspace]

    @classmethod
    def run(cls, info: Info) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(Path(info.workspace, FOLDER))


def _make(root: Path, folder: str) -> None:
    """Create the folder in the image as debootstrap would, unless it exists.

    :raises TaskError: a part of the path is a symbolic link
    """
    path = root
    for name in folder.split("/"):
        path = path / name
        if path.is_symlink():  # a link would lead to a folder of the host
            raise TaskError(f"plugins.sparse.scratch: {path} is a symbolic link")
        if not path.is_dir():
            path.mkdir()
            path.chmod(0o1777 if str(path.relative_to(root)) in OPEN_TO_ALL else 0o755)


def _copy(*, source: Path, destination: Path) -> None:
    """Copy the content, mode and owner of a folder to another."""
    log_check_call(["cp", "--archive", f"{source}/.", str(destination)])


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _remove(entry: os.DirEntry[str]) -> None:
    if entry.is_dir(follow_symlinks=False):
        shutil.rmtree(entry.path)
    else:
        os.unlink(entry.path)
