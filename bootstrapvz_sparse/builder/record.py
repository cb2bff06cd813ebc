"""The record of a build, by which it is known after it was killed.

``WORKSPACE/.RUN.bvz-sparse`` lies beside the folder RUN of the build, from before anything else
of it is made until nothing of it is left. The build holds it locked, flock(2), while it lives.
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
VERSION = 1


class Running(Exception):
    """The build that the record is of is not dead."""


class Invalid(Exception):
    """It cannot be a record that a build of this workspace has made; the text says why."""


def path_of(folder: Path) -> Path:
    """The record of the build with the ``folder`` RUN."""
    return folder.parent / f".{folder.name}.bvz-sparse"


def _elsewhere(folder: Path) -> list[Path]:
    """The folders outside of its own that a build makes where they are not there."""
    return [LINKS, LINKS.parent, folder.parent, *folder.parent.parents]


@dataclass
class Record:
    """The record of the build with the ``folder`` RUN; ``new``: folders that it makes besides."""

    folder: Path
    new: list[str] = field(default_factory=list)
    _fd: int = -1

    def begin(self) -> None:
        """Make the record, locked, and the workspace.

        :raises OSError: it cannot be made, or is there already
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
                os.close(fd)  # taken for that of a dead build before it was locked
        content = {"version": VERSION, "folder": str(self.folder), "new": self.new}
        os.write(self._fd, json.dumps(content).encode())

    def delete(self) -> list[str]:
        """Delete it and the folders that were made besides; which these are.

        :raises OSError: it cannot be deleted
        """
        if self._fd >= 0:
            path_of(self.folder).unlink(missing_ok=True)
        deleted = []
        for folder in self.new:
            with contextlib.suppress(OSError):  # somebody uses it, or it was never made
                os.rmdir(folder)
                deleted.append(folder)
        return deleted

    def close(self) -> None:
        """Let go of it: from now on its build is dead."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


def take(path: Path) -> Record:
    """The record of a dead build, locked.

    :raises Running: the build is not dead
    :raises Invalid: no build of this workspace made it
    :raises OSError: it cannot be read, or is gone
    """
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, os.geteuid()):
            raise Invalid("it is no file of root's")
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Running from error
        if not is_at(fd, path):
            raise FileNotFoundError
        match = NAME.fullmatch(path.name)
        assert match
        folder = path.parent / match[1]
        return Record(folder, _new(os.read(fd, 1 << 16), folder), fd)
    except BaseException:
        os.close(fd)
        raise


def _new(text: bytes, folder: Path) -> list[str]:
    """What a record says, if it is one of the build with ``folder``.

    :raises Invalid: it is none
    """
    if not text:
        return []  # the build was killed before it made anything
    try:
        content = json.loads(text)
        version, of, new = content["version"], content["folder"], content["new"]
    except (ValueError, TypeError, LookupError) as error:
        raise Invalid("it is no record of a build") from error
    if version != VERSION:
        raise Invalid(f"it is of another version of bvz-sparse: {version}")
    if of != str(folder):
        raise Invalid(f"it is of a build in {of}")
    if not isinstance(new, list) or not set(map(str, new)) <= set(map(str, _elsewhere(folder))):
        raise Invalid("it names folders that no build makes")
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise Invalid(f"{folder} is no folder")
    return new
