"""Ext filesystems made, filled, changed and read; what the tests of the reader share."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from pathlib import Path

from bootstrapvz_sparse.image.extents import Ranges, union
from bootstrapvz_sparse.image.filesystems import FreeSpace, ext
from bootstrapvz_sparse.image.view import FileMap, window
from tests.support.e2fsprogs import debugfs, spelled


def mke2fs(path: Path, options: list[str], size: int = 96 << 20) -> None:
    with path.open("wb") as file:
        file.truncate(size)
    environment = {**os.environ, "E2FSPROGS_FAKE_TIME": "1700000000"}
    command = spelled(["mke2fs", "-q", "-F", *options, str(path)])
    subprocess.run(command, check=True, env=environment)


def fill(path: Path, seed: int) -> dict[str, bytes]:
    """Write files and delete half of them again; what is left, by name."""
    source = path.parent / "source"
    source.mkdir(exist_ok=True)
    chance = random.Random(seed)
    contents = {f"f{i}": chance.randbytes(chance.randrange(1, 900_000)) for i in range(30)}
    for name, content in contents.items():
        (source / name).write_bytes(content)
    debugfs(path, *(f"write {source / name} {name}" for name in contents))
    gone = [name for name in contents if chance.random() < 0.5]
    debugfs(path, *(f"rm {name}" for name in gone))
    return {name: content for name, content in contents.items() if name not in gone}


def read_back(path: Path, names: list[str]) -> dict[str, bytes]:
    folder = path.parent / "back"
    folder.mkdir(exist_ok=True)
    debugfs(path, *(f"dump {name} {folder / name}" for name in names))
    return {name: (folder / name).read_bytes() for name in names}


def journal_of(path: Path) -> Ranges:
    """Byte ranges of the journal but for its first block, as debugfs prints them."""
    text = debugfs(path, "stats", "blocks <8>")
    found = re.search(r"^Block size:\s+(\d+)", text, re.M)
    assert found
    block = int(found[1])
    numbers = [int(number) for number in text.splitlines()[-1].split()]
    return union((number * block, (number + 1) * block) for number in numbers)


def read(path: Path, offset: int = 0) -> FreeSpace:
    with path.open("rb") as file:
        size = path.stat().st_size
        return ext.find_free_space(window(FileMap(file.fileno(), size), offset, size))


def corrupt(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def put(path: Path, offset: int, content: bytes) -> Path:
    """A copy of the image with ``content`` at ``offset``."""
    bad = path.with_name("bad")
    shutil.copy(path, bad)
    corrupt(bad, offset, content)
    return bad


def clear_behind(image: Path, offset: int) -> None:
    """Zero what lies behind the filesystem: data there would belong to another user."""
    with image.open("r+b") as file:
        file.seek(offset + 1024)
        raw = file.read(1024)
        blocks, high = (
            int.from_bytes(raw[4:8], "little"),
            int.from_bytes(raw[0x150:0x154], "little"),
        )
        if int.from_bytes(raw[0x60:0x64], "little") & 0x80:  # 64bit
            blocks |= high << 32
        end = offset + (blocks << 10 + raw[0x18])
        file.seek(end)
        file.write(bytes(max(image.stat().st_size - end, 0)))
