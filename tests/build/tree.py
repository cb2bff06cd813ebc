"""The files of an image: all that can be told of each, to be compared."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

from tests.support.mounting import run

# Differs between two builds of the same manifest, whatever becomes of the image: times and random
# numbers in them. Compared are their names, modes and owners.
RANDOM = (
    "boot/extlinux/extlinux.conf",  # the UUID of the filesystem, where it is made anew
    "boot/initrd.img-*",  # times of files
    "boot/extlinux/ldlinux.sys",  # where its own blocks are
    "etc/fstab",  # the UUID
    "etc/shadow",  # the day of the build
    "etc/shadow-",
    "var/cache/apt/*.bin",  # times
    "var/cache/debconf/*",  # times
    "var/cache/ldconfig/aux-cache",  # inode numbers
    "var/lib/apt/extended_states",
    "var/log/*",
    "var/log/apt/*",
)

# Comes and goes with time.
PASSING = ("run/blkid/*",)


class File(NamedTuple):
    """Size and content are those of a regular file or the target of a link, else empty."""

    mode: str
    owner: tuple[int, int]
    content: str
    attributes: tuple[tuple[str, bytes], ...]


def tree(image: Path, folder: Path) -> dict[str, File]:
    """Each file of the unpartitioned ``image``, by its path; mounted in a new ``folder``."""
    folder.mkdir()
    run("mount", "-o", "loop,ro", image, folder)
    try:
        names = [path.relative_to(folder) for path in [folder, *folder.rglob("*")]]
        return {
            str(name): _file(folder / name, name)
            for name in names
            if not any(name.match(pattern) for pattern in PASSING)
        }
    finally:
        run("umount", folder)
        folder.rmdir()


def _file(path: Path, name: Path) -> File:
    status = path.lstat()
    content = ""
    if stat.S_ISLNK(status.st_mode):
        content = os.readlink(path)
    elif stat.S_ISREG(status.st_mode) and not any(name.match(pattern) for pattern in RANDOM):
        content = f"{status.st_size} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    attributes = tuple(
        (attribute, os.getxattr(path, attribute, follow_symlinks=False))
        for attribute in sorted(os.listxattr(path, follow_symlinks=False))
    )
    return File(stat.filemode(status.st_mode), (status.st_uid, status.st_gid), content, attributes)


def differences(first: dict[str, File], second: dict[str, File]) -> list[str]:
    """Return the differences of two images, a line for each file."""
    return [
        f"{path}: {first.get(path)} and {second.get(path)}"
        for path in sorted({*first, *second})
        if first.get(path) != second.get(path)
    ]
