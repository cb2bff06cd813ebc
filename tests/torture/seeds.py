"""Seeds of the fuzzer: metadata of small sound images."""

from __future__ import annotations

import mmap
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bootstrapvz_sparse.image.checkers import CHECKERS
from bootstrapvz_sparse.util import loop
from bootstrapvz_sparse.util.view_server import fuse

from . import makers, pristine
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


def _any(folder: Path) -> Iterator[bytes]:
    """Pack the beginning and the end of each filesystem that mkfs can make."""
    for number, name in enumerate(makers.MAKERS):
        path, size = folder / "any", 64 << 20
        with path.open("wb") as file:
            file.truncate(size)
        try:
            if makers.missing(name):
                continue
            makers.make(name, path, folder)
        except makers.NotMade:
            continue
        places = ((0, 4096), (32768, 32832), (65536, 69632), (size - 4096, size))
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
            yield pack(number % 128, size, raw, places)


def _output(folder: Path) -> Iterator[bytes]:
    """Output of each checker for a sound filesystem and for none."""
    for number, (kind, checker) in enumerate(CHECKERS.items()):
        for blank in (False, True):
            path = folder / "checked"
            with path.open("wb") as file:
                file.truncate(64 << 20)
            names = {"vfat": "vfat 32"}
            try:
                if not blank:
                    makers.make(names.get(kind, kind), path, folder)
                words = [str(path) if word == "@" else word for word in checker.command]
                done = subprocess.run(words, capture_output=True, env=makers.ENVIRONMENT)
            except (makers.NotMade, OSError):  # not installed
                continue
            yield bytes([number, (128 + done.returncode) % 256]) + done.stdout + done.stderr


def _loop(folder: Path) -> Iterator[bytes]:
    status = loop.INFO.pack(7, 8, 0, 0, 0, 0, 0, 0, 5, b"bvz-sparse 1")
    for path in (b"/tmp/disk.raw", b"/tmp/disk.raw (deleted)", b"/\xff\n"):
        yield status + path


def _fuse(folder: Path) -> Iterator[bytes]:
    for opcode in range(1, 50):
        yield opcode.to_bytes(2, "little") + fuse.READ_IN.pack(4090, 4096)


MAKERS = {
    "ext": _ext,
    "xfs": _xfs,
    "swap": _swap,
    "table": _table,
    "tarball": _tarball,
    "gpt": _table,
    "guards": _any,
    "formats": _any,
    "unclean": _any,
    "checker": _output,
    "loop": _loop,
    "fuse": _fuse,
}
