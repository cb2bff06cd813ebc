"""Filesystems made by their own mkfs in plain files, changed, and checked."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from bootstrapvz_sparse.image import checkers
from bootstrapvz_sparse.image.view import FileMap
from bootstrapvz_sparse.util.errors import ProgramMissing
from tests.support.mounting import run
from tests.support.unable import unable

MIB = 1 << 20
Make = Callable[[str], Path]
MKFS = {
    "ext4": ("mke2fs", "-q", "-t", "ext4", "-d", "SOURCE", "IMAGE"),
    "xfs": ("mkfs.xfs", "-q", "IMAGE"),
    "btrfs": ("mkfs.btrfs", "-q", "--rootdir", "SOURCE", "IMAGE"),
    "fat12": ("mkfs.fat", "-F", "12", "-s", "64", "IMAGE"),
    "fat16": ("mkfs.fat", "-F", "16", "IMAGE"),
    "fat32": ("mkfs.fat", "-F", "32", "IMAGE"),
    "exfat": ("mkfs.exfat", "IMAGE"),
    "f2fs": ("mkfs.f2fs", "-q", "IMAGE"),
}
SIZE = {"xfs": 320 * MIB, "btrfs": 128 * MIB, "f2fs": 64 * MIB}


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make filesystems with two files, where mkfs can fill them."""

    def mkfs(kind: str) -> Path:
        source = tmp_path / "source"
        source.mkdir()
        for name in ("first", "second"):
            (source / name).write_bytes(os.urandom(100_000))
        image = tmp_path / "image"
        with image.open("wb") as file:
            file.truncate(SIZE.get(kind, 40 * MIB))
        words = {"SOURCE": str(source), "IMAGE": str(image)}
        try:
            run(*(words.get(word, word) for word in MKFS[kind]))
        except FileNotFoundError as error:
            unable(f"the program {error.filename} is not there")
        return image

    return mkfs


def checked(image: Path, kind: str) -> checkers.Verdict:
    with image.open("rb") as file:
        where = FileMap(file.fileno(), image.stat().st_size)
        try:
            return checkers.check(where, "vfat" if kind.startswith("fat") else kind, file.fileno())
        except ProgramMissing as error:
            unable(str(error))


def change(image: Path, offset: int, new: bytes) -> None:
    with image.open("r+b") as file:
        os.pwrite(file.fileno(), new, offset)


def read(image: Path, offset: int, form: str) -> int:
    with image.open("rb") as file:
        raw = os.pread(file.fileno(), struct.calcsize(form), offset)
    return int(struct.unpack(form, raw)[0])
