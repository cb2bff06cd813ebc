"""Write a file beside the image that takes its place once it is complete."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..util.errors import ImageInUse, ProgramFailed
from ..util.temporary import Temporary, temporary
from .access import Image, recheck

ACL = "system.posix_acl_access"


@contextmanager
def replacement_file(image: Image) -> Iterator[Temporary]:
    """Open an empty file beside the image for the body to fill, which then replaces the image.

    When the body fails the image stays and the file is removed.

    :raises ImageInUse, OSError: as :func:`replace_image`
    :raises ProgramFailed: the file does not have the size of the image
    """
    before = os.fstat(image.fd)
    with temporary(image.path, image.folder) as file:
        yield file
        size = os.fstat(file.fd).st_size
        if size != image.size:
            raise ProgramFailed(f"{image.path}: the copy has {size} bytes, expected {image.size}")
        replace_image(image, before, file)


def replace_image(image: Image, before: os.stat_result, file: Temporary) -> None:
    """Put ``file`` in place of the image, which was as ``before`` when the file was begun.

    It takes over mode, owner, times and extended attributes, and is on disk before it is renamed.

    :raises ImageInUse: the image was changed meanwhile, or another program uses it
    :raises OSError: an attribute cannot be kept
    """
    recheck(image)
    status, new = os.fstat(image.fd), os.fstat(file.fd)
    if status.st_mtime_ns != before.st_mtime_ns:
        raise ImageInUse(f"{image.path}: another process wrote to the image")
    if (new.st_uid, new.st_gid) != (status.st_uid, status.st_gid):
        os.fchown(file.fd, status.st_uid, status.st_gid)
    present, wanted = _attributes(file.fd), _attributes(image.fd)
    if ACL in present and ACL not in wanted:
        os.removexattr(file.fd, ACL)  # the folder's default ACL
    os.fchmod(file.fd, status.st_mode & 0o7777)
    for attribute in wanted:
        value = os.getxattr(image.fd, attribute)
        if attribute not in present or os.getxattr(file.fd, attribute) != value:
            os.setxattr(file.fd, attribute, value)
    os.utime(file.fd, ns=image.times)
    os.fsync(file.fd)
    file.place(image.path, image.folder)


def _attributes(fd: int) -> list[str]:
    try:
        return os.listxattr(fd)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return []
        raise
