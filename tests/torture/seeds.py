"""Seeds of the fuzzer: metadata of small sound images."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

from . import pristine
from .container import NO_CHECKSUMS, pack
from .damage_ext import Ext
from .damage_tables import Table
from .damage_xfs import Xfs
from .mutations import Draft

EXT = (
    *("ext2", "ext3", "ext4, journal in pieces", "ext4, 4 KiB", "ext4, uninit_bg"),
    *("ext4, meta_bg", "ext4, bigalloc", "ext4, flex_bg"),
)
XFS = ("xfs", "xfs, rmapbt", "xfs, version 4")


def write(parser: str, folder: Path, corpus: Path) -> None:
    """Write the seeds of a parser into the folder ``corpus``; another one is for scratch."""
    for number, seed in enumerate(MAKERS[parser](folder)):
        (corpus / f"seed{number:02}").write_bytes(seed)


def _draft(folder: Path, name: str) -> Draft:
    base = pristine.make_one(folder / name.replace(" ", ""), name)
    return Draft(base.states[0], random.Random(1))


def _ext(folder: Path) -> Iterator[bytes]:
    for name in EXT:
        draft = _draft(folder, name)
        there = Ext(draft, 0)
        pieces = [(1024, 2048), (there.inode, there.inode + there.inode_size)]
        pieces += [(at, at + there.wide) for at in there.descriptors]
        pieces += [(at, at + there.per_group // there.cluster // 8) for at in there.bitmaps]
        pieces += [(leaf, leaf + there.block) for leaf in there.leaves]
        pieces += [(there.log, there.log + 1024)] if there.log else []
        for flags in (0, NO_CHECKSUMS):
            yield pack(flags, len(draft.raw), draft.raw[:], pieces)


def _xfs(folder: Path) -> Iterator[bytes]:
    for name in XFS:
        draft = _draft(folder, name)
        there = Xfs(draft, 0)
        pieces = [(there.log, there.log + (16 << 10))]
        for group, trees in zip(there.groups, there.trees):
            pieces.append((group, group + 4 * there.sector))
            blocks = [block for tree in trees for level in tree for block in level]
            pieces += [(block, block + there.block) for block in blocks]
        for flags in (0, NO_CHECKSUMS):
            yield pack(flags, len(draft.raw), draft.raw[:], pieces)


def _swap(folder: Path) -> Iterator[bytes]:
    for page in (4096, 65536):
        path = folder / f"swap{page}"
        path.write_bytes(bytes(20 * page))
        subprocess.run(["mkswap", "-p", str(page), path], check=True, capture_output=True)
        yield pack(0, 20 * page, path.read_bytes(), [(1024, 1536), (page - 32, page)])


def _table(folder: Path) -> Iterator[bytes]:
    singles = {
        name: pristine.make_one(folder / name.replace(" ", ""), name)
        for name in ("ext2", "ext3", "ext4", "ext4, 4 KiB", "swap")
    }
    for name in ("msdos", "gpt"):
        base = pristine.make_table(folder / name, name, singles)
        draft = Draft(base.states[0], random.Random(1))
        table = Table(draft)
        pieces = [(0, 512)] + [(record, record + 512) for record in table.boot_records]
        pieces += [(header, header + 512) for header in table.headers]
        pieces += [(entries, entries + 1024) for entries in table.entries]
        yield pack(0, len(draft.raw), draft.raw[:], pieces)


def _tarball(folder: Path) -> Iterator[bytes]:
    """Archives of a disk with two segments, with seven, and without holes."""
    for count, form in ((2, "oldgnu"), (7, "oldgnu"), (2, "gnu"), (2, "ustar"), (2, "pax")):
        path = folder / "disk.raw"
        with path.open("wb") as file:
            file.truncate(1 << 20)
            for number in range(count):
                file.seek(number * 16384)
                file.write(b"x" * 10)
        command = ["tar", "--create", f"--format={form}", "--directory", str(folder), "disk.raw"]
        command += ["--sparse", "--hole-detection=seek"] if form in ("oldgnu", "pax") else []
        done = subprocess.run(command, check=True, capture_output=True)
        yield done.stdout.rstrip(b"\0") + bytes(1024)


MAKERS = {"ext": _ext, "xfs": _xfs, "swap": _swap, "table": _table, "tarball": _tarball}
