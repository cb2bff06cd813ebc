"""Move and copy an image without filling its holes."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..util import programs
from ..util.errors import ImageInUse, ProgramFailed, Unsupported, VerificationFailed
from ..util.temporary import is_at, temporary
from ..util.text import human
from ..util.trees import anchored
from .extents import allocated, data, union
from .holes import probe

CHUNK_SIZE = 1 << 20


def move(source: Path, destination: Path, *, verify: bool = True) -> list[str]:
    """Move the image to the path ``destination``; return notes for the user.

    It is renamed, or across filesystems copied: the copy is complete and on disk, and with
    ``verify`` compared, before it gets its name and the source is deleted.

    :raises Unsupported: the destination exists or has no room
    :raises ImageInUse: the source was replaced meanwhile
    :raises ProgramFailed: cp failed
    :raises VerificationFailed: the copy differs
    :raises OSError: a file cannot be read or written
    """
    with anchored(source.parent) as here, anchored(destination.parent) as there:
        at, new = here / source.name, there / destination.name
        if os.path.lexists(new):
            raise Unsupported(f"{destination}: already exists (move it away)")
        try:
            os.rename(at, new)
            return []
        except OSError as error:
            if error.errno != errno.EXDEV:
                error.filename, error.filename2 = str(source), str(destination)
                raise
        with _opened(at, source) as fd:
            notes = _copy_across(fd, source, destination, there, verify)
            if not is_at(fd, at):
                raise ImageInUse(f"{source}: replaced by another file, which is kept")
            os.unlink(at)
            return notes


def _copy_across(fd: int, source: Path, destination: Path, folder: Path, verify: bool) -> list[str]:
    """Copy the open file to ``destination``, in the filesystem of ``folder``, which leads there."""
    notes = []
    status, can = os.fstat(fd), probe(folder)
    needed = allocated(status) if can.sparse else status.st_size
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise Unsupported(
            f"{destination.parent}: {human(free)} free, but the image needs {human(needed)}"
        )
    if not can.sparse:
        notes.append(f"{destination.parent}: no sparse files there; the image takes its whole size")
    with temporary(destination, folder) as file:
        _copy(fd, file.fd, source)
        _copy_status(fd, file.fd, status)
        if verify:
            _compare(fd, file.fd, destination)
        file.place(destination)
    return notes


def copy(source: Path, destination: Path) -> None:
    """Copy the content of ``source`` by GNU cp; zeros become holes.

    The copy gets its name, in place of a file of that name, once it is complete and on disk.

    :raises ProgramFailed: cp failed
    :raises OSError: a file cannot be read or written
    """
    with (
        anchored(destination.parent) as folder,
        _opened(source, source) as fd,
        temporary(destination, folder) as file,
    ):
        _copy(fd, file.fd, source)
        umask = os.umask(0)
        os.umask(umask)
        os.fchmod(file.fd, 0o666 & ~umask)
        file.place(destination)


@contextlib.contextmanager
def _opened(path: Path, name: Path) -> Iterator[int]:
    """Open ``path``; errors call it ``name``."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        error.filename = str(name)
        raise
    try:
        yield fd
    finally:
        os.close(fd)


def _copy(source: int, target: int, name: Path) -> None:
    # without --reflink=never cp clones where it can, and then makes nothing sparse
    options = ("--sparse=always", "--reflink=never", "--")
    places = programs.same_file(source), programs.same_file(target)
    programs.run("cp", *options, *places, fds=[source, target])
    os.fsync(target)
    size, expected = os.fstat(target).st_size, os.fstat(source).st_size
    if size != expected:
        raise ProgramFailed(f"{name}: the copy has {size} bytes, expected {expected}")


def _copy_status(source: int, target: int, status: os.stat_result) -> None:
    """Give the copy the owner, mode, attributes and times of the source, by descriptor."""
    with contextlib.suppress(PermissionError):  # some filesystems have no owners
        os.fchown(target, status.st_uid, status.st_gid)
    shutil.copystat(f"/proc/self/fd/{source}", f"/proc/self/fd/{target}")
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _compare(first: int, second: int, name: Path) -> None:
    """Compare two files; ranges that are holes in both are not read.

    :raises VerificationFailed: they differ
    """
    size = os.fstat(first).st_size
    for start, end in union(data(first, size), data(second, size)):
        for position in range(start, end, CHUNK_SIZE):
            length = min(CHUNK_SIZE, end - position)
            if os.pread(first, length, position) != os.pread(second, length, position):
                raise VerificationFailed(
                    f"{name}: the copy differs from the image at byte {position}"
                )
