"""Moving and copying an image without filling its holes."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path

from ..util import programs
from ..util.errors import Refused, VerificationFailed
from ..util.temporary import temporary
from ..util.text import human
from .extents import allocated, data, union
from .holes import probe

CHUNK_SIZE = 1 << 20


def move(source: Path, destination: Path, *, verify: bool = True) -> list[str]:
    """Give the image ``source`` the path ``destination``; remarks on that.

    By a rename, or across filesystems by a sparse copy that is complete and on disk, and with
    ``verify`` compared, before it gets its name and the source goes.

    :raises Refused: there is something already, no room, or cp fails
    :raises VerificationFailed: the copy is not the same
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
    free = shutil.disk_usage(destination.parent).free
    if needed > free:
        raise Refused(
            f"{destination.parent} has {human(free)} left, and the image "
            f"takes {human(needed)} there"
        )
    if not can.sparse:
        notes.append(f"files cannot have holes in {destination.parent}: the image is whole there")
    with temporary(destination) as file:
        _copy(source, file.fd)
        with contextlib.suppress(PermissionError):  # some filesystems have no owners
            os.fchown(file.fd, status.st_uid, status.st_gid)
        shutil.copystat(source, file.path)
        if verify:
            _compare(source, file.path)
        file.place(destination)
    os.unlink(source)
    return notes


def copy(source: Path, destination: Path) -> None:
    """Copy the content of ``source`` by GNU cp; zeros become holes.

    The copy gets its name, in place of what has it, when it is complete and on disk.

    :raises Refused: cp fails
    """
    with temporary(destination) as file:
        _copy(source, file.fd)
        umask = os.umask(0)
        os.umask(umask)
        os.fchmod(file.fd, 0o666 & ~umask)
        file.place(destination)


def _copy(source: Path, fd: int) -> None:
    # where files can be cloned cp does so unasked, and then makes nothing sparse
    options = ("--sparse=always", "--reflink=never", "--")
    done = programs.run("cp", *options, source, programs.same_file(fd), fds=[fd])
    if done.returncode:
        raise Refused(f"cp failed: {programs.last_line(done.stderr)}")
    os.fsync(fd)
    size, wanted = os.fstat(fd).st_size, os.stat(source).st_size
    if size != wanted:
        raise Refused(f"the copy of {source} has {size} bytes in place of {wanted}")


def _compare(first: Path, second: Path) -> None:
    """Read what is no hole of either file.

    :raises VerificationFailed: they differ
    """
    with first.open("rb", buffering=0) as a, second.open("rb", buffering=0) as b:
        size = os.fstat(a.fileno()).st_size
        written = union(data(a.fileno(), size), data(b.fileno(), size))
        for start, end in written:
            for position in range(start, end, CHUNK_SIZE):
                length = min(CHUNK_SIZE, end - position)
                chunks = (os.pread(file.fileno(), length, position) for file in (a, b))
                if len(set(chunks)) > 1:
                    raise VerificationFailed(
                        f"{second} is not the same as {first} at byte {position}"
                    )
