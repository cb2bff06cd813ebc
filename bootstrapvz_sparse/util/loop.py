"""Loop devices, and the files that they are attached to. Source: linux/loop.h."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PATIENCE = 10  # seconds
BLOCK_DEVICES = Path("/sys/block")

LOOP_GET_STATUS64, LOOP_CONFIGURE, LOOP_CTL_GET_FREE = 0x4C05, 0x4C0A, 0x4C82
LO_FLAGS_READ_ONLY, LO_FLAGS_AUTOCLEAR = 1, 4
LO_NAME_SIZE = 64  # bytes
# struct loop_info64: lo_device, lo_inode, lo_rdevice, lo_offset, lo_sizelimit, lo_number,
# lo_encrypt_type, lo_encrypt_key_size, lo_flags, lo_file_name; lo_crypt_name, lo_encrypt_key
# and lo_init are not used
INFO = struct.Struct(f"=5Q4I{LO_NAME_SIZE}s{LO_NAME_SIZE + 32 + 16}x")
CONFIG = struct.Struct(f"=II{INFO.size}s64x")  # struct loop_config: fd, block_size, info
DELETED = b" (deleted)"  # appended by the kernel to the path of a deleted file


class Status(NamedTuple):
    """The file of a loop device, by device number and inode, and the label of the device."""

    device: int
    inode: int
    label: bytes


def attached() -> Iterator[tuple[str, str]]:
    """Yield each loop device in use, ``/dev/loop0`` and so on, with the path of its file.

    The path is decoded by os.fsdecode(). It was valid in the mount namespace where the device was
    attached; the kernel truncates long paths.
    """
    for device, status, path in _in_use():
        if path.endswith(DELETED) and not _is_file(path, status):
            path = path[: -len(DELETED)]
        yield device, os.fsdecode(path)


def devices(file: int | os.stat_result) -> list[str]:
    """Return the loop devices that the file is attached to, except those of this process.

    ``file`` is an open file or its status. If a device may not be opened, its file can be
    identified only by its path.
    """
    wanted = os.fstat(file) if isinstance(file, int) else file
    label = name_of_ours().encode()
    found = []
    for device, status, path in _in_use():
        if status:
            same = (status.device, status.inode) == (wanted.st_dev, wanted.st_ino)
            if same and status.label != label:
                found.append(device)
        elif _is_same(path, wanted):
            found.append(device)
    return found


def wait_until_detached(file: int | os.stat_result) -> None:
    """Wait until no loop device is attached to the file, for up to ``PATIENCE`` seconds.

    The kernel detaches a device only when its last user, perhaps udev, closes it.
    """
    deadline = time.monotonic() + PATIENCE
    while devices(file) and time.monotonic() < deadline:
        time.sleep(0.1)


def name_of_ours() -> str:
    """Return the label of the loop devices that this process attaches."""
    return f"bvz-sparse {os.getpid()}"


def attach(fd: int, start: int, length: int, label: str, *, read_only: bool) -> tuple[int, str]:
    """Attach ``length`` bytes from ``start`` of the open file ``fd`` to a loop device.

    Return its descriptor and path. It is detached when its last user closes it. Needs Linux 5.8.

    :raises OSError: not permitted, or not supported
    """
    flags = LO_FLAGS_AUTOCLEAR | (LO_FLAGS_READ_ONLY if read_only else 0)
    mode = os.O_RDONLY if read_only else os.O_RDWR
    info = INFO.pack(0, 0, 0, start, length, 0, 0, 0, flags, label.encode()[: LO_NAME_SIZE - 1])
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        while True:
            path = f"/dev/loop{fcntl.ioctl(control, LOOP_CTL_GET_FREE)}"
            device = os.open(path, mode | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, LOOP_CONFIGURE, CONFIG.pack(fd, 0, info))
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:  # another process was faster
                    raise OSError(error.errno, error.strerror, path) from error
            else:
                return device, path
    finally:
        os.close(control)


def wait_until_free(path: str) -> None:
    """Wait until the loop device at ``path`` is detached, for up to ``PATIENCE`` seconds."""
    deadline = time.monotonic() + PATIENCE
    attribute = _attribute(path)
    while attribute.exists() and time.monotonic() < deadline:
        time.sleep(0.01)


def _attribute(device: str) -> Path:
    return BLOCK_DEVICES / Path(device).name / "loop" / "backing_file"


def _in_use() -> Iterator[tuple[str, Status | None, bytes]]:
    """Yield each loop device in use, its status if readable, and its file's path."""
    for attribute in sorted(BLOCK_DEVICES.glob("loop*/loop/backing_file")):
        device = f"/dev/{attribute.parent.parent.name}"
        try:
            path = attribute.read_bytes()[:-1]  # without the end of the line
            number = (attribute.parent.parent / "dev").read_text().strip()
        except OSError:
            continue  # detached meanwhile
        yield device, _status(device, number), path


def _status(device: str, number: str) -> Status | None:
    try:
        fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        node = os.fstat(fd)
        major, minor = os.major(node.st_rdev), os.minor(node.st_rdev)
        if not stat.S_ISBLK(node.st_mode) or f"{major}:{minor}" != number:
            return None  # /dev belongs to another system
        raw = fcntl.ioctl(fd, LOOP_GET_STATUS64, bytes(INFO.size))
    except OSError:
        return None
    finally:
        os.close(fd)
    unpacked = INFO.unpack(raw)
    return Status(unpacked[0], unpacked[1], unpacked[-1].rstrip(b"\0"))


def _is_file(path: bytes, status: Status | None) -> bool:
    """Return whether ``path`` leads to the file of ``status``, or, without a status, to any."""
    try:
        there = os.stat(path)
    except OSError:
        return False
    return status is None or (there.st_dev, there.st_ino) == (status.device, status.inode)


def _is_same(path: bytes, wanted: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), wanted)
    except OSError:
        return False
