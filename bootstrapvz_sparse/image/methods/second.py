"""A second file beside the image, which takes its place once it is complete."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..access import Image, Refused
from ..report import human

PREFIX, SUFFIX = ".", ".bvz-sparse"  # of the temporary name: .disk.raw.XXXXXXXX.bvz-sparse


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
def second_file(image: Image) -> Iterator[Path]:
    """An empty file beside the image for the body to fill, which then replaces the image.

    It takes over mode, owner, times and extended attributes, and is on disk before it is renamed.
    When the body fails the image stays and the file is removed.

    :raises Refused: the file is not of the image's size, or the image was replaced meanwhile
    :raises OSError: it cannot be written, or an attribute cannot be kept
    """
    folder = image.path.parent
    fd, name = tempfile.mkstemp(SUFFIX, f"{PREFIX}{image.path.name[:200]}.", folder)
    path = Path(name)
    try:
        os.close(fd)
        yield path
        _finish(image, path)
        os.replace(path, image.path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    _sync(folder)


def _finish(image: Image, path: Path) -> None:
    if path.stat().st_size != image.size:
        raise Refused(f"the copy of {image.path} is not of the same size")
    status = os.fstat(image.fd)
    if not os.path.samestat(status, os.stat(image.path)):
        raise Refused(f"{image.path} was replaced meanwhile")
    new = path.stat()
    if (new.st_uid, new.st_gid) != (status.st_uid, status.st_gid):
        os.chown(path, status.st_uid, status.st_gid)
    os.chmod(path, status.st_mode & 0o7777)
    present = os.listxattr(path)
    for attribute in os.listxattr(image.fd):
        value = os.getxattr(image.fd, attribute)
        if attribute not in present or os.getxattr(path, attribute) != value:
            os.setxattr(path, attribute, value)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    _sync(path)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
