"""File systems in files, mounted for the time of a test."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.unable import unable

MAKE = {
    "ext2": ["mkfs.ext2", "-q"],
    "ext3": ["mkfs.ext3", "-q"],
    "ext4": ["mkfs.ext4", "-q"],
    "xfs": ["mkfs.xfs", "-q"],
    "btrfs": ["mkfs.btrfs", "-q"],
    "exfat": ["mkfs.exfat"],
    "vfat": ["mkfs.vfat"],
}
IN_USER_SPACE = ("exfat",)


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def fill(folder: Path, chunk: int) -> None:
    """Write a file, ``chunk`` bytes at a time, until there is no room any more."""
    file = os.open(folder / "filler", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with pytest.raises(OSError, match="No space"):
        while True:
            os.write(file, bytes(chunk))
    os.close(file)


@contextlib.contextmanager
def attached(image: Path) -> Iterator[str]:
    """A loop device on ``image``."""
    device = run("losetup", "--find", "--show", image).strip()
    try:
        yield device
    finally:
        run("losetup", "--detach", device)


@contextlib.contextmanager
def mounted(kind: str, folder: Path, size: int) -> Iterator[Path]:
    """A new file system of ``size`` bytes, mounted below ``folder``."""
    point = folder / f"mounted-{kind}"
    point.mkdir()
    if kind == "tmpfs":
        run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", point)
    elif kind == "overlay":
        layers = [folder / name for name in ("lower", "upper", "work")]
        for layer in layers:
            layer.mkdir()
        options = "lowerdir={},upperdir={},workdir={}".format(*layers)
        run("mount", "-t", "overlay", "-o", options, "overlay", point)
    else:
        if kind not in IN_USER_SPACE and kind not in Path("/proc/filesystems").read_text().split():
            pytest.skip(f"the kernel has no {kind}")
        if not shutil.which(MAKE[kind][0]):
            unable(f"{MAKE[kind][0]} is not there")
        image = folder / f"image-{kind}"
        with image.open("wb") as file:
            file.truncate(size)
        run(*MAKE[kind], image)
    with contextlib.ExitStack() as stack:
        if kind == "exfat":  # by FUSE, which knows no holes
            device = stack.enter_context(attached(image))
            run("mount.exfat-fuse", device, point)
        elif kind not in ("tmpfs", "overlay"):
            run("mount", "-o", "loop", image, point)
        stack.callback(unmount, point)
        yield point


def unmount(point: Path) -> None:
    """Unmount, when nobody uses it any more: a FUSE server above closes its files a bit later.

    :raises CalledProcessError: it is still in use after 10 s
    """
    deadline = time.monotonic() + 10
    while True:
        try:
            run("umount", point)
            return
        except subprocess.CalledProcessError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@contextlib.contextmanager
def bound(source: Path, point: Path, *options: str) -> Iterator[Path]:
    """The folder ``source`` once more, by FUSE: files have holes there, which none can punch."""
    if not shutil.which("bindfs"):
        unable("bindfs is not there")
    point.mkdir()
    run("bindfs", *options, source, point)
    try:
        yield point
    finally:
        unmount(point)
