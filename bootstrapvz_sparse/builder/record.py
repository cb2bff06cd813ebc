"""The record of a build, by which a killed build is recognised.

``WORKSPACE/.RUN.bvz-sparse`` lies beside the folder RUN of the build. It is created before anything
else and deleted last. The build keeps it locked by flock(2) while it runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from ..upstream.loop_partitions import LINKS
from ..util.temporary import is_at

NAME = re.compile(r"\.([0-9a-f]{8})\.bvz-sparse")
VERSION = 2
MAX_SIZE = 1 << 16  # bytes


class Running(Exception):
    """The build of the record still runs."""


class Invalid(Exception):
    """The record or its folder was not made by a build in this workspace; the text says why."""


def path_of(folder: Path) -> Path:
    """Return the path of the record of the build with the ``folder`` RUN."""
    return folder.parent / f".{folder.name}.bvz-sparse"


def _elsewhere(folder: Path) -> list[Path]:
    """Return the folders outside its own that a build creates if they are missing."""
    return [LINKS, LINKS.parent, folder.parent, *folder.parent.parents]


@dataclass
class Record:
    """The record of the build with the ``folder`` RUN.

    ``new``: folders that it creates elsewhere; ``inode``: the inode of its own folder, once it
    exists.
    """

    folder: Path
    new: list[str] = field(default_factory=list)
    inode: int | None = None
    _fd: int = -1

    def begin(self) -> None:
        """Create the record, locked, and the workspace.

        :raises OSError: it cannot be created, or exists already
        """
        path = path_of(self.folder)
        self.new = [str(folder) for folder in _elsewhere(self.folder) if not folder.exists()]
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        while self._fd < 0:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX)
            if is_at(fd, path):
                self._fd = fd
            else:
                os.close(fd)  # removed as the record of a dead build before it was locked
        content = {"version": VERSION, "folder": str(self.folder), "new": self.new}
        os.write(self._fd, json.dumps(content).encode())

    def note_folder(self) -> None:
        """Record which folder is the build's own: other users may rename folders.

        :raises OSError: there is no such folder, or the disk is full
        """
        self.inode = os.lstat(self.folder).st_ino
        os.write(self._fd, b"\n" + json.dumps({"inode": self.inode}).encode())

    def delete(self) -> list[str]:
        """Delete the record and the empty folders that the build made; return these folders.

        :raises OSError: it cannot be deleted
        """
        if self._fd >= 0:
            path_of(self.folder).unlink(missing_ok=True)
        deleted = []
        for folder in self.new:
            with contextlib.suppress(OSError):  # not empty, or never made
                os.rmdir(folder)
                deleted.append(folder)
        return deleted

    def close(self) -> None:
        """Release the lock: from now on the build counts as dead."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


def take(path: Path) -> Record:
    """Return the record of a dead build, locked.

    :raises Running: the build is not dead
    :raises Invalid: no build of this workspace made it or its folder
    :raises OSError: it cannot be read, or is gone
    """
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, os.geteuid()):
            raise Invalid("not a regular file of root's")
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Running from error
        if not is_at(fd, path):
            raise FileNotFoundError
        match = NAME.fullmatch(path.name)
        assert match
        folder = path.parent / match[1]
        new, inode = _parse(os.read(fd, MAX_SIZE), folder)
        _check_folder(folder, inode)
        return Record(folder, new, inode, fd)
    except BaseException:
        os.close(fd)
        raise


def _parse(text: bytes, folder: Path) -> tuple[list[str], int | None]:
    """Return the content of the record of the build with ``folder``: ``new`` and ``inode``.

    :raises Invalid: it is not such a record
    """
    if not text:
        return [], None  # the build was killed before it created anything
    first, _, second = text.partition(b"\n")
    try:
        content = json.loads(first)
        version, of, new = content["version"], content["folder"], content["new"]
    except (ValueError, TypeError, LookupError) as error:
        raise Invalid("not the record of a build") from error
    if version != VERSION:
        raise Invalid(f"written by another version of bvz-sparse: {version}")
    if of != str(folder):
        raise Invalid(f"belongs to a build in {of}")
    if not isinstance(new, list) or not set(map(str, new)) <= set(map(str, _elsewhere(folder))):
        raise Invalid("names folders that no build makes")
    try:
        inode = int(json.loads(second)["inode"])
    except (ValueError, TypeError, LookupError):  # killed before or while it was written
        inode = None
    return new, inode


def _check_folder(folder: Path, inode: int | None) -> None:
    """Check that ``folder``, if it exists, was made by the build, so that no other is removed.

    :raises Invalid: it was not, or that cannot be determined
    """
    try:
        status = os.lstat(folder)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(status.st_mode):
        raise Invalid(f"{folder} is not a folder")
    if inode is None and os.listdir(folder):  # killed right after it made the folder
        raise Invalid(f"it does not name the folder {folder} as the build's own")
    if inode not in (None, status.st_ino):
        raise Invalid(f"{folder} is not the folder that the build made")
