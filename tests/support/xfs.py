"""Kinds of XFS, and what the tests of its reader share."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrapvz_sparse.image.extents import Ranges
from bootstrapvz_sparse.image.filesystems import UntrustedMetadata, xfs
from bootstrapvz_sparse.image.view import FileMap, window
from tests.support.mounting import run

V5 = {
    "v5": [],
    "no reflink": ["-m", "reflink=0"],
    "rmapbt": ["-m", "rmapbt=1"],
    # 16 MiB is the least that both the kernel and xfsprogs 6.13 take
    "rmapbt, no reflink": ["-m", "rmapbt=1,reflink=0", "-d", "agcount=2", "-l", "size=16m"],
    "no finobt": ["-m", "finobt=0,inobtcount=0,rmapbt=0,reflink=0"],
    "no sparse inodes": ["-i", "sparse=0"],
    "no bigtime": ["-m", "bigtime=0"],
    "nrext64": ["-i", "nrext64=1"],
    "1 KiB blocks": ["-b", "size=1024"],
    "1 KiB blocks, rmapbt": ["-b", "size=1024", "-m", "rmapbt=1"],
    "2 KiB blocks": ["-b", "size=2048"],
    "4 KiB sectors": ["-s", "size=4096"],
    "1 KiB inodes": ["-i", "size=1024"],
    "1 group": ["-d", "agcount=1"],
    "2 groups": ["-d", "agcount=2"],
    "log in the first group": ["-d", "agcount=3", "-l", "agnum=0"],
    "larger log": ["-d", "agcount=2", "-l", "size=20m"],
    "log of 4 KiB units": ["-l", "su=4k"],
    "log of 32 KiB units": ["-l", "su=32k"],
    "log of 256 KiB units": ["-d", "agcount=2", "-l", "su=256k"],
}
V4 = {
    "v4": ["-m", "crc=0"],
    "v4, 512-byte blocks": ["-m", "crc=0", "-b", "size=512"],
    "v4, 1 KiB blocks": ["-m", "crc=0", "-b", "size=1024"],
    "v4, 4 KiB sectors": ["-m", "crc=0", "-s", "size=4096"],
    "v4, 1 group": ["-m", "crc=0", "-d", "agcount=1"],
    "v4, finobt=0, 256-byte inodes": ["-m", "crc=0,finobt=0", "-i", "size=256"],
    "v4, log version 1": ["-m", "crc=0", "-l", "version=1"],
    "v4, log of 32 KiB units": ["-m", "crc=0", "-l", "su=32k"],
    "v4, no lazy-count": ["-m", "crc=0", "-b", "size=512", "-l", "lazy-count=0"],
}
LARGE = {
    "16 groups": ["-d", "agcount=16"],
    "64 KiB blocks": ["-b", "size=65536"],
    "16 KiB blocks, 4 KiB sectors": ["-b", "size=16384", "-s", "size=4096"],
    "v4, 64 KiB blocks": ["-m", "crc=0", "-b", "size=65536"],
}
KINDS = {**V5, **V4, **LARGE}
NO_KIND = ["-m", "reflink=0,finobt=0,inobtcount=0", "-d", "agcount=2", "-b", "size=4096"]


def read(path: Path, offset: int = 0) -> Ranges:
    with path.open("rb") as file:
        size = path.stat().st_size
        found = xfs.find_free_space(window(FileMap(file.fileno(), size), offset, size))
    assert found.journal == []
    return found.free


def refusal(path: Path, end: int | None = None) -> str:
    with path.open("rb") as file, pytest.raises(UntrustedMetadata) as caught:
        xfs.find_free_space(FileMap(file.fileno(), path.stat().st_size if end is None else end))
    return str(caught.value)


def write(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def get(path: Path, offset: int, length: int) -> bytes:
    with path.open("rb") as file:
        return os.pread(file.fileno(), length, offset)


@contextlib.contextmanager
def mount(image: Path, *options: str) -> Iterator[Path]:
    point = image.parent / "mounted"
    point.mkdir(exist_ok=True)
    run("mount", "-o", ",".join(["loop", *options]), image, point)
    try:
        yield point
    finally:
        run("umount", point)
        # a mount namespace that somebody made meanwhile keeps the mount until it goes itself
        deadline = time.monotonic() + 20
        while run("losetup", "--associated", image) and time.monotonic() < deadline:
            time.sleep(0.05)


def copy(image: Path, place: Path) -> Path:
    run("cp", "--sparse=always", image, place)
    return place


def churn(folder: Path, chance: random.Random, files: int = 200) -> None:
    """Write files into several folders, delete half of them, let the others grow."""
    for i in range(files):
        place = folder / f"d{i % 7}"
        place.mkdir(exist_ok=True)
        (place / f"{i}-{chance.random()}").write_bytes(chance.randbytes(chance.randrange(20_000)))
    run("sync", "--file-system", folder)
    for file in sorted(folder.glob("d*/*")):
        if chance.random() < 0.5:
            file.unlink()
        elif chance.random() < 0.1:
            with file.open("ab") as more:
                more.write(bytes(chance.randrange(30_000)))
