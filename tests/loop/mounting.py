"""File systems in files, mounted for the time of a test."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.unable import unable

MAKE = {
    "ext4": ["mkfs.ext4", "-q"],
    "xfs": ["mkfs.xfs", "-q"],
    "btrfs": ["mkfs.btrfs", "-q"],
    "exfat": ["mkfs.exfat"],
}


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


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
    else:
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
        elif kind != "tmpfs":
            run("mount", "-o", "loop", image, point)
        stack.callback(run, "umount", point)
        yield point
