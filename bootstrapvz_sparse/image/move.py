"""Moving and copying an image without filling its holes."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path

from . import programs
from .access import Refused
from .extents import allocated, data, union
from .holes import probe
from .report import human
from .temporary import temporary
from .verify import Changed

AT_ONCE = 1 << 20


def move(source: Path, destination: Path, *, verify: bool = True) -> list[str]:
    """Give the image ``source`` the path ``destination``; remarks on that.

    By a rename, or across filesystems by a sparse copy that is complete and on disk, and with
    ``verify`` compared, before it gets its name and the source goes.

    :raises Refused: there is something already, no room, or cp fails
    :raises Changed: the copy is not the same
    :raises OSError: a file cannot be read or written
    """
    if os.path.lexists(destination):
        raise Refused(f"{destination} is there already")
    try:
        os.rename(source, destination)
        return []
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    notes = []
    status, can = os.stat(source), probe(destination.parent)
    needed = allocated(status) if can.sparse else status.st_size
    room = os.statvfs(destination.parent)
    if needed > room.f_bavail * room.f_frsize:
        raise Refused(
            f"{destination.parent} has {human(room.f_bavail * room.f_frsize)} left, and the image "
            f"takes {human(needed)} there"
        )
    if not can.sparse:
        notes.append(f"files cannot have holes in {destination.parent}: the image is whole there")
    with temporary(destination) as path:
        copy(source, path)
        with contextlib.suppress(PermissionError):  # some filesystems have no owners
            os.chown(path, status.st_uid, status.st_gid)
        shutil.copystat(source, path)
        if verify:
            _compare(source, path)
        os.rename(path, destination)
    os.unlink(source)
    return notes


def copy(source: Path, destination: Path) -> None:
    """Copy the content of ``source`` by GNU cp; zeros become holes.

    :raises Refused: cp fails
    """
    # where files can be cloned cp does so unasked, and then makes nothing sparse
    done = programs.run("cp", "--sparse=always", "--reflink=never", "--", source, destination)
    if done.returncode:
        raise Refused(f"cp failed: {programs.last_line(done.stderr)}")
    fd = os.open(destination, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
        size, wanted = os.fstat(fd).st_size, os.stat(source).st_size
    finally:
        os.close(fd)
    if size != wanted:
        raise Refused(f"the copy of {source} has {size} bytes in place of {wanted}")


def _compare(first: Path, second: Path) -> None:
    """Read what is no hole of either file.

    :raises Changed: they differ
    """
    with first.open("rb", buffering=0) as a, second.open("rb", buffering=0) as b:
        size = os.fstat(a.fileno()).st_size
        written = union(data(a.fileno(), size), data(b.fileno(), size))
        for start, end in written:
            for position in range(start, end, AT_ONCE):
                length = min(AT_ONCE, end - position)
                chunks = (os.pread(file.fileno(), length, position) for file in (a, b))
                if len(set(chunks)) > 1:
                    raise Changed(f"{second} is not the same as {first} at byte {position}")
