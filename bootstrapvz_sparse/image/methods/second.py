"""A second file beside the image, which takes its place once it is complete."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..access import Image, Refused
from ..extents import allocated, total
from ..report import human
from ..temporary import temporary
from .job import Job

ACL = "system.posix_acl_access"


def size_of_copy(job: Job) -> int:
    """The bytes that a sparse copy takes at most."""
    # where holes are not told, all of the image may have to be read
    return min(total(job.survey.to_read), allocated(os.fstat(job.image.fd)))


def lacks_holes(job: Job) -> str | None:
    """Why there can be no sparse file; None where there can."""
    return None if job.can.sparse else "files cannot have holes here"


def lacks_room(image: Image, needed: int) -> str | None:
    """Why there can be no second file of ``needed`` bytes; None where it can."""
    status = os.fstat(image.fd)
    if status.st_nlink > 1:
        return f"the image has {status.st_nlink} hard links, of which one would be replaced"
    if os.geteuid() not in (0, status.st_uid):
        return "a second file would have another owner"
    room = os.statvfs(image.path.parent)
    free = room.f_bavail * room.f_frsize
    if needed > free:
        return f"a second file needs up to {human(needed)}, and {human(free)} are free"
    return None


@contextmanager
def second_file(image: Image, *, same_size: bool = True) -> Iterator[Path]:
    """An empty file beside the image for the body to fill, which then replaces the image.

    It takes over mode, owner, times and extended attributes, and is on disk before it is renamed.
    When the body fails the image stays and the file is removed. A raw image has the ``same_size``.

    :raises Refused: the file is not of the image's size, or the image was changed meanwhile
    :raises OSError: it cannot be written, or an attribute cannot be kept
    """
    before = os.fstat(image.fd)
    with temporary(image.path) as path:
        yield path
        if same_size and path.stat().st_size != image.size:
            raise Refused(f"the copy of {image.path} is not of the same size")
        _finish(image, before, path)
        os.replace(path, image.path)
    _sync(image.path.parent)


def _finish(image: Image, before: os.stat_result, path: Path) -> None:
    status = os.fstat(image.fd)
    if not os.path.samestat(status, os.stat(image.path)):
        raise Refused(f"{image.path} was replaced meanwhile")
    if status.st_mtime_ns != before.st_mtime_ns:
        raise Refused(f"{image.path} was written to meanwhile")
    new = path.stat()
    if (new.st_uid, new.st_gid) != (status.st_uid, status.st_gid):
        os.chown(path, status.st_uid, status.st_gid)
    present, wanted = _attributes(path), _attributes(image.fd)
    if ACL in present and ACL not in wanted:
        os.removexattr(path, ACL)  # the folder gives it to every new file
    os.chmod(path, status.st_mode & 0o7777)
    for attribute in wanted:
        value = os.getxattr(image.fd, attribute)
        if attribute not in present or os.getxattr(path, attribute) != value:
            os.setxattr(path, attribute, value)
    os.utime(path, ns=image.times)
    _sync(path)


def _attributes(file: Path | int) -> list[str]:
    try:
        return os.listxattr(file)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return []
        raise


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
