"""A second file beside the image, which takes its place once it is complete."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from ..util.errors import Refused
from ..util.temporary import Temporary, temporary
from ..util.text import human
from .access import Image, recheck
from .extents import allocated, total
from .methods.job import Job

ACL = "system.posix_acl_access"


def size_of_copy(job: Job) -> int:
    """The bytes that a sparse copy takes at most."""
    # where holes are not told, all of the image may have to be read
    return min(total(job.survey.to_read), allocated(os.fstat(job.image.fd)))


def no_holes(job: Job) -> str | None:
    """Why there can be no sparse file; None where there can."""
    return None if job.can.sparse else "files cannot have holes here"


def no_room(image: Image, needed: int) -> str | None:
    """Why there can be no second file of ``needed`` bytes; None where it can."""
    status = os.fstat(image.fd)
    if status.st_nlink > 1:
        return f"the image has {status.st_nlink} hard links, of which one would be replaced"
    if os.geteuid() not in (0, status.st_uid):
        return "a second file would have another owner"
    free = shutil.disk_usage(image.path.parent).free
    if needed > free:
        return f"a second file needs up to {human(needed)}, and {human(free)} are free"
    return None


@contextmanager
def replacement_file(image: Image) -> Iterator[Temporary]:
    """An empty file beside the image for the body to fill, which then replaces the image.

    When the body fails the image stays and the file is removed.

    :raises Refused, OSError: as :func:`replace_image`; or the file is not of the image's size
    """
    before = os.fstat(image.fd)
    with temporary(image.path) as file:
        yield file
        if os.fstat(file.fd).st_size != image.size:
            raise Refused(f"the copy of {image.path} is not of the same size")
        replace_image(image, before, file)


def replace_image(image: Image, before: os.stat_result, file: Temporary) -> None:
    """Put ``file`` in place of the image, which was as ``before`` when the file was begun.

    It takes over mode, owner, times and extended attributes, and is on disk before it is renamed.

    :raises Refused: the image was changed meanwhile, or somebody uses it
    :raises OSError: an attribute cannot be kept
    """
    recheck(image)
    status, new = os.fstat(image.fd), os.fstat(file.fd)
    if status.st_mtime_ns != before.st_mtime_ns:
        raise Refused(f"{image.path} was written to meanwhile")
    if (new.st_uid, new.st_gid) != (status.st_uid, status.st_gid):
        os.fchown(file.fd, status.st_uid, status.st_gid)
    present, wanted = _attributes(file.fd), _attributes(image.fd)
    if ACL in present and ACL not in wanted:
        os.removexattr(file.fd, ACL)  # the folder gives it to every new file
    os.fchmod(file.fd, status.st_mode & 0o7777)
    for attribute in wanted:
        value = os.getxattr(image.fd, attribute)
        if attribute not in present or os.getxattr(file.fd, attribute) != value:
            os.setxattr(file.fd, attribute, value)
    os.utime(file.fd, ns=image.times)
    os.fsync(file.fd)
    file.place(image.path)


def _attributes(fd: int) -> list[str]:
    try:
        return os.listxattr(fd)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return []
        raise
