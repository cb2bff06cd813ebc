"""Small filesystems and tables of them, sound, used, and with junk in their free blocks.

Of each there are three: itself, an older or newer state of it, and a sibling of the same geometry
with other content. What mkfs and xfs_repair write of the time and of chance differs from run to
run; where everything lies does not.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.e2fsprogs import debugfs, spelled
from tests.support.xfsprogs import make, xfs_db
from tests.torture.oracle import Ranges, journal, used

MIB = 1 << 20
STATES = ("itself", "other", "sibling")
ENVIRONMENT = {**os.environ, "E2FSPROGS_FAKE_TIME": "1700000000"}
UUID = "c0ffee00-1111-4222-8333-444455556666"
SEED = "6d0a5b0e-6b0f-4f1c-8f0e-1d6a4b1c2d3e"  # of the hashes of folders


class Part(NamedTuple):
    """A filesystem in an image, in bytes; ``kind`` is ext, xfs or swap."""

    kind: str
    start: int
    size: int


class Base(NamedTuple):
    """An image in its three states, what lies in it, and which bytes of it are in use."""

    name: str
    states: tuple[Path, Path, Path]
    parts: tuple[Part, ...]
    used: Ranges

    @property
    def table(self) -> bool:
        return self.parts[0].start > 0


# Options of mke2fs(8), size in MiB, and whether the journal is made where free space is in pieces.
EXT: dict[str, tuple[str, int, bool]] = {
    "ext2": ("-t ext2 -b 1024 -g 2048", 8, False),
    "ext2, revision 0": ("-t ext2 -b 1024 -r 0 -O none", 8, False),
    "ext3": ("-t ext3 -b 1024 -g 2048 -J size=1", 8, False),
    "ext3, journal in pieces": ("-t ext2 -b 1024 -g 2048", 8, True),
    "ext4": ("-t ext4 -b 1024 -g 2048 -J size=1", 8, False),
    "ext4, journal in pieces": ("-t ext4 -b 1024 -g 2048 -O ^has_journal", 8, True),
    "ext4, 4 KiB": ("-t ext4 -b 4096 -g 1024 -O 64bit,metadata_csum -J size=4", 16, False),
    "ext4, no journal": ("-t ext4 -b 4096 -g 512 -O ^has_journal,metadata_csum", 8, False),
    "ext4, uninit_bg": ("-t ext4 -b 1024 -g 2048 -O ^metadata_csum,uninit_bg -J size=1", 8, False),
    "ext4, no checksums": ("-t ext4 -b 1024 -g 2048 -O ^metadata_csum,^uninit_bg", 8, False),
    "ext4, meta_bg": ("-t ext4 -b 1024 -g 512 -O meta_bg,^resize_inode -J size=1", 8, False),
    "ext4, bigalloc": ("-t ext4 -b 1024 -C 4096 -O bigalloc -g 4096 -J size=1", 8, False),
    "ext4, flex_bg": ("-t ext4 -b 1024 -g 1024 -G 4 -O sparse_super2 -J size=1", 8, False),
}
XFS: dict[str, tuple[str, int]] = {
    "xfs": ("-d agcount=2", 32),
    "xfs, 1 KiB": ("-b size=1024 -d agcount=2", 32),
    "xfs, rmapbt": ("-b size=1024 -m rmapbt=1 -d agcount=2", 32),
    "xfs, 1 group": ("-b size=1024 -d agcount=1", 16),
    "xfs, version 4": ("-m crc=0 -b size=512 -d agcount=2", 32),
    "xfs, no lazy-count": ("-m crc=0 -b size=512 -l lazy-count=0 -d agcount=2", 32),
}
# Filesystems in tables, each with its type, and whether it is a logical partition.
TABLES: dict[str, tuple[str, tuple[tuple[str, bool], ...]]] = {
    "msdos": ("dos", (("ext4", False), ("swap", False), ("ext3", True), ("ext2", True))),
    "msdos with xfs": ("dos", (("swap", False), ("ext4, uninit_bg", True), ("xfs", True))),
    "gpt": ("gpt", (("ext4, 4 KiB", False), ("swap", False), ("ext4", False), ("ext2", False))),
    "gpt with xfs": ("gpt", (("xfs, 1 group", False), ("ext4, bigalloc", False))),
}
SWAP = 1  # MiB


def names() -> list[str]:
    return [*EXT, *XFS, "swap"]


def make_one(folder: Path, name: str) -> Base:
    """One filesystem that fills its image; the folder is its own."""
    folder.mkdir()
    states = tuple(folder / state for state in STATES)
    if name in EXT:
        options, size, pieces = EXT[name]
        _ext(folder, states[0], states[1], options.split(), size * MIB, pieces, 1)
        _ext(folder, states[2], folder / "scratch", options.split(), size * MIB, pieces, 2)
        part = Part("ext", 0, size * MIB)
    elif name in XFS:
        options, size = XFS[name]
        _xfs(states[0], states[1], options.split(), size * MIB, 220)
        _xfs(states[2], folder / "scratch", options.split(), size * MIB, 221)
        part = Part("xfs", 0, size * MIB)
    else:
        for number, path in enumerate(states):
            _swap(path, number)
        part = Part("swap", 0, SWAP * MIB)
    return Base(name, states, (part,), used(states[0], part.kind))  # type: ignore[arg-type]


def _ext(
    folder: Path, newer: Path, older: Path, options: list[str], size: int, pieces: bool, seed: int
) -> None:
    chance = random.Random(seed)
    source = folder / "source"
    source.mkdir()
    files = [f"f{i}" for i in range(180 if pieces else 60)]
    for file in files:
        (source / file).write_bytes(chance.randbytes(chance.randrange(1, 60_000)))
    with older.open("wb") as image:
        image.truncate(size)
    command = ["mke2fs", "-q", "-F", "-m", "0", "-d", str(source), *options, "-U", UUID]
    command += ["-E", f"hash_seed={SEED},nodiscard", str(older)]
    subprocess.run(spelled(command), check=True, capture_output=True, env=ENVIRONMENT)
    gone = chance.sample(files, len(files) * 2 // 3)
    debugfs(older, *(f"rm {file}" for file in gone[:-20]))
    if pieces:
        subprocess.run(
            ["tune2fs", "-J", "size=1", older], check=True, capture_output=True, env=ENVIRONMENT
        )
    copy(older, newer)
    commands = [f"rm {file}" for file in gone[-20:]]
    for number in range(15):  # fewer than were there: the rest stays as junk
        path = source / f"new{number}"
        path.write_bytes(chance.randbytes(chance.randrange(1, 30_000)))
        commands.append(f"write {path} {path.name}")
    if journal(newer):
        commands += [f"zap_block -f <8> -p 90 {number}" for number in range(20, 40)]
    debugfs(newer, *commands)
    shutil.rmtree(source)


def _xfs(newer: Path, older: Path, options: list[str], size: int, files: int) -> None:
    make(newer, options, size, files)
    copy(newer, older)
    inodes = re.findall(r"^\d+\s+(\d+)\s+regular", xfs_db(older, "ls /d"), re.M)
    clear = [f"inode {inode}\nwrite -d core.mode 0" for inode in inodes[::3]]
    xfs_db(older, *clear, write=True)
    subprocess.run(
        ["xfs_repair", "-o", "force_geometry", "-f", older], check=True, capture_output=True
    )


def _swap(path: Path, number: int) -> None:
    path.write_bytes(random.Random(number).randbytes(SWAP * MIB))
    subprocess.run(["mkswap", "-U", UUID, path], check=True, capture_output=True)


def make_table(folder: Path, name: str, singles: dict[str, Base]) -> Base:
    """A table of filesystems that were made before."""
    folder.mkdir()
    label, wanted = TABLES[name]
    script, parts, pieces = [f"label: {label}", "label-id: 0x5eed5eed"], [], []
    if label == "gpt":
        script[1] = f"label-id: {UUID}"
    position, extended = MIB, False
    for kind, logical in wanted:
        part = singles[kind].parts[0]
        if logical and not extended:
            script.append(f"start={position // 512}, type=5")
            extended = True
        if logical:
            position += MIB
        script.append(f"start={position // 512}, size={part.size // 512}")
        parts.append(part._replace(start=position))
        pieces.append(singles[kind])
        position += part.size
    states = tuple(folder / state for state in STATES)
    for index, path in enumerate(states):
        with path.open("wb") as image:
            image.truncate(position + MIB)
        subprocess.run(
            ["sfdisk", "--quiet", path], input="\n".join(script), text=True, check=True,
            capture_output=True,
        )  # fmt: skip
        for part, piece in zip(parts, pieces):
            copy_into(path, part.start, piece.states[index])
    ranges = [(0, MIB)]
    for part, piece in zip(parts, pieces):
        ranges += [(part.start + start, part.start + end) for start, end in piece.used]
    outside = [(0, parts[0].start)]
    for part, following in zip(parts, [*parts[1:], Part("", position + MIB, 0)]):
        outside.append((part.start + part.size, following.start))
    return Base(name, states, tuple(parts), sorted(ranges + outside))  # type: ignore[arg-type]


def copy(source: Path, path: Path) -> None:
    with path.open("wb") as image:
        image.truncate(source.stat().st_size)
    copy_into(path, 0, source)


def copy_into(path: Path, position: int, source: Path) -> None:
    """Copy a file with its holes into another one."""
    with source.open("rb") as file, path.open("r+b") as image:
        for start, end in segments(file.fileno()):
            image.seek(position + start)
            image.write(os.pread(file.fileno(), end - start, start))


def segments(fd: int) -> Iterator[tuple[int, int]]:
    """The data of a file between its holes."""
    size, end = os.fstat(fd).st_size, 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError:
            return
        end = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, end
