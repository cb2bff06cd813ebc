"""Let the kernel discard the free blocks of a filesystem in an image (FITRIM). Needs root.

The mount has no mount point and, like the loop device, ends with its descriptor. Sources:
fsopen(2), fsmount(2), ``linux/mount.h``, ``linux/fs.h``.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from ..util import loop, programs
from ..util.errors import Unsupported
from .access import Image
from .checkers import check
from .partitions import Partition
from .survey import map_of

SYS_fsopen, SYS_fsconfig, SYS_fsmount = 430, 431, 432  # asm-generic/unistd.h
FSOPEN_CLOEXEC = FSMOUNT_CLOEXEC = 1
FSCONFIG_SET_STRING, FSCONFIG_CMD_CREATE = 1, 6
MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 2, 4, 8
FITRIM = 0xC0185879
FSTRIM_RANGE = struct.Struct("=QQQ")  # start, len, minlen
EVERYTHING = FSTRIM_RANGE.pack(0, 2**64 - 1, 0)

_libc = ctypes.CDLL(None, use_errno=True)


def trim(point: str | os.PathLike[str]) -> None:
    """Discard the free blocks of the filesystem mounted on ``point`` by fstrim(8).

    :raises ProgramMissing: fstrim is not installed
    :raises ProgramFailed: the kernel cannot discard there
    """
    programs.run("fstrim", "--", os.fspath(point))


def discard(image: Image, partition: Partition) -> None:
    """Let the kernel punch the free blocks of the partition; mounting also writes to the metadata.

    :raises Unsupported: not root, the filesystem is not clean, or the kernel cannot mount it
    :raises ProgramMissing, CheckUnavailable: its checker cannot be run
    """
    if os.geteuid() != 0:
        raise Unsupported("discarding by the kernel needs root")
    where = map_of(image.map, partition)
    if complaint := check(where, partition.filesystem, image.fd).complaint:
        raise Unsupported(complaint)
    try:
        fd, device = loop.attach(
            image.fd, partition.start, where.size, loop.name_of_ours(), read_only=False
        )
        try:
            with _mounted(partition.filesystem, device) as folder:
                fcntl.ioctl(folder, FITRIM, EVERYTHING)
        finally:
            os.close(fd)
            loop.wait_until_free(device)
    except OSError as error:
        raise Unsupported(f"the kernel cannot discard: {error.strerror}") from error


@contextmanager
def _mounted(kind: str, device: str) -> Iterator[int]:
    """Mount ``device`` without a mount point; yield a descriptor of its root directory.

    :raises OSError: the kernel cannot mount it
    """
    context = _syscall(SYS_fsopen, kind.encode(), FSOPEN_CLOEXEC)
    try:
        _syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, b"source", device.encode(), 0)
        _syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, None, None, 0)
        flags = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
        mount = _syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, flags)
    finally:
        os.close(context)
    try:
        folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=mount)
        try:
            yield folder
        finally:
            os.close(folder)
    finally:
        os.close(mount)


def _syscall(number: int, *arguments: bytes | int | None) -> int:
    result: int = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        code = ctypes.get_errno()
        reason = "no driver for this filesystem" if code == errno.ENODEV else os.strerror(code)
        raise OSError(code, reason)
    return result
