"""Filesystems below hash trees: after the sparsifying each tree still verifies.

The trees are those of veritysetup: in another partition, behind the filesystem in its own, outside
of the partitions; with superblock and without; of several hashes, salts and block sizes. Footers
of Android Verified Boot and checksums of dm-integrity, for which no program is at hand, are
written by hand around them. The judge is veritysetup, on the bytes before and after.
"""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bootstrapvz_sparse.image import sparsify
from bootstrapvz_sparse.util.errors import SparseError

from . import pristine
from .memory import memory
from .mutations import crc32c
from .parts import Job, Tally
from .pristine import Base, copy_into
from .signatures import differences
from .workers import Broken, spread

CASES = 600
LIMIT = 120  # seconds
MIB = 1 << 20
BASES = ("ext4", "ext4, 4 KiB", "ext2", "xfs, 1 group", "ext4, no journal")
HASHES = ("sha256", "sha256", "sha1", "sha512")
SALTS = ("-", "ab", "00112233" * 8, "5a" * 256)
BLOCKS = (512, 1024, 2048, 4096, 4096)
PLACES = ("partition", "behind", "outside", "no table", "AVB", "AVB, vbmeta apart", "integrity")
TYPES = {  # of the partitions
    "root": ("4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", "2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5"),
    "linux": ("0FC63DAF-8483-4772-8E79-3D69D8477DE4", "0FC63DAF-8483-4772-8E79-3D69D8477DE4"),
}


class Case(NamedTuple):
    """A sealed filesystem: its place, and the options of the tree."""

    number: int
    base: str
    place: str
    types: str
    hash: str
    salt: str
    data_block: int
    hash_block: int
    superblock: bool

    def __str__(self) -> str:
        return f"{self.number} ({', '.join(str(field)[:24] for field in self[1:])})"


class Layout(NamedTuple):
    """An image, and where data and tree lie in it; ``root``: the root hash."""

    image: Path
    data: tuple[int, int]
    tree: tuple[int, int]
    root: str


def run(job: Job, tally: Tally) -> None:
    programs = ("veritysetup", "mke2fs", "mkfs.xfs", "sfdisk")
    if missing := [name for name in programs if not shutil.which(name)]:
        tally.remarks.append(f"sealed: not installed: {', '.join(missing)}")
        return
    with tempfile.TemporaryDirectory(prefix="torture-", dir=memory(job.folder)) as name:
        folder = Path(name)
        bases = {
            base: pristine.make_one(folder / str(number), base) for number, base in enumerate(BASES)
        }
        cases = [_draw(job.seed, number) for number in range(job.count(CASES))]
        if job.only:
            cases = [_draw(job.seed, int(job.only))]
        for case, outcome in spread(
            cases, partial(_try, bases, folder), workers=job.workers, limit=LIMIT
        ):
            _count(case, outcome, tally)


def _draw(seed: int, number: int) -> Case:
    chance = random.Random(f"{seed} sealed {number}")
    place = PLACES[number % len(PLACES)]
    data_block, hash_block = chance.choice(BLOCKS), chance.choice(BLOCKS)
    return Case(
        number,
        chance.choice(BASES),
        place,
        chance.choice(list(TYPES)),
        chance.choice(HASHES),
        chance.choice(SALTS),
        4096 if place.startswith("AVB") else data_block,
        4096 if place.startswith("AVB") else hash_block,
        chance.random() < 0.5 and not place.startswith("AVB"),
    )


def _try(bases: dict[str, Base], folder: Path, case: Case) -> tuple[str, str]:
    """Return the outcome, and why the tree does not verify, ``""`` if it does."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        layout = _make(bases[case.base], Path(scratch), case)
        if reason := _broken(layout, Path(scratch), case):
            raise AssertionError(f"the tree did not verify before: {reason}")
        before = Path(scratch) / "before"
        pristine.copy(layout.image, before)
        try:
            notes = sparsify(layout.image, method="punch").notes
        except SparseError as error:
            return f"refused: {type(error).__name__}", ""
        changed = bool(differences(before, layout.image))
        if case.place == "integrity":
            wrong = "the data differ from their checksums" if changed else ""
        else:
            wrong = _broken(layout, Path(scratch), case)
        alone = "left alone" if any("alone" in note for note in notes) else "not seen"
        return f"{case.place}: {'sparse' if changed else alone}", wrong


def _make(base: Base, folder: Path, case: Case) -> Layout:
    image, tree, data = folder / "image", folder / "tree", folder / "data"
    pristine.copy(base.states[0], data)
    size = data.stat().st_size
    tree.touch()
    root = _format(data, tree, case, folder)
    raw = tree.read_bytes()
    length = -(-len(raw) // MIB) * MIB
    start = 0 if case.place == "no table" else MIB
    whole = start + size + (0 if start == 0 else MIB) + length + 2 * MIB
    if case.place.startswith("AVB") or case.place == "no table":
        whole = start + size + length + 2 * MIB
    with image.open("wb") as file:
        file.truncate(whole)
    first, second = TYPES[case.types]
    inside = size + (length if case.place in ("behind", "AVB", "AVB, vbmeta apart") else 0)
    lines = [f"label: gpt\nstart={start // 512}, size={inside // 512}, type={first}"]
    at = start + size
    if case.place in ("partition", "integrity"):
        lines.append(f"start={at // 512}, size={length // 512}, type={second}")
    elif case.place == "AVB, vbmeta apart":
        lines.append(f"start={(start + inside) // 512}, size={(MIB // 2) // 512}, type={second}")
    if case.place != "no table":
        _run("sfdisk", "--quiet", image, text="\n".join(lines))
    copy_into(image, start, data)
    with image.open("r+b") as file:
        if case.place == "integrity":
            raw = _integrity(data)
        os.pwrite(file.fileno(), raw, at)
        if case.place.startswith("AVB"):
            vbmeta = _vbmeta(case, root, size, len(raw))
            end = start + inside
            if case.place == "AVB":
                os.pwrite(file.fileno(), vbmeta, at + -(-len(raw) // 4096) * 4096)
                offset = size + -(-len(raw) // 4096) * 4096
                footer = struct.pack(">4sIIQQQ28x", b"AVBf", 1, 0, size, offset, len(vbmeta))
                os.pwrite(file.fileno(), footer, end - 64)
            else:
                os.pwrite(file.fileno(), vbmeta, end)
    return Layout(image, (start, start + size), (at, at + len(raw)), root)


def _format(data: Path, tree: Path, case: Case, folder: Path) -> str:
    """Let veritysetup write the tree; return the root hash."""
    text = _run("veritysetup", "format", *_options(case), data, tree)
    return next(line.split()[-1] for line in text.splitlines() if line.startswith("Root hash"))


def _options(case: Case) -> list[str]:
    superblock = [] if case.superblock else ["--no-superblock"]
    return [
        *(f"--hash={case.hash}", f"--salt={case.salt}", f"--data-block-size={case.data_block}"),
        *(f"--hash-block-size={case.hash_block}", *superblock),
    ]


def _broken(layout: Layout, folder: Path, case: Case) -> str:
    """Return what veritysetup says of data and tree in the image, ``""`` if they verify."""
    if case.place == "integrity":
        return ""
    paths = []
    with layout.image.open("rb") as file:
        for name, (start, end) in (("data now", layout.data), ("tree now", layout.tree)):
            paths.append(folder / name)
            paths[-1].write_bytes(os.pread(file.fileno(), end - start, start))
    options = [] if case.superblock else _options(case)
    done = subprocess.run(
        ["veritysetup", "verify", *options, *paths, layout.root],
        capture_output=True, text=True,
    )  # fmt: skip
    return done.stderr.strip() or f"status {done.returncode}" if done.returncode else ""


def _vbmeta(case: Case, root: str, size: int, length: int) -> bytes:
    """Return a vbmeta image with one hash tree descriptor.

    Source: AOSP, external/avb, avb_vbmeta_image.h, ``AvbVBMetaImageHeader``;
    avb_hashtree_descriptor.h, ``AvbHashtreeDescriptor``.
    """
    salt = b"" if case.salt == "-" else bytes.fromhex(case.salt)
    digest, name = bytes.fromhex(root), b"system"
    body = struct.pack(
        ">IQQQIIIQQ32sIIII60x",
        *(1, size, size, length, case.data_block, case.hash_block, 0, 0, 0),
        *(case.hash.encode(), len(name), len(salt), len(digest), 0),
    )
    body += name + salt + digest
    body += bytes(-len(body) % 8)
    descriptor = struct.pack(">QQ", 1, len(body)) + body
    places = (0, 0, 0, 0, 0, 0, 0, 0, 0, len(descriptor))  # of hash, signature, keys, descriptors
    header = struct.pack(">4sIIQQI10QQII", b"AVB0", 1, 0, 0, len(descriptor), 0, *places, 0, 0, 0)
    return header.ljust(256, b"\0") + descriptor


def _integrity(data: Path) -> bytes:
    """Return a device of checksums over ``data``, as dm-integrity has them apart from the data.

    Source: Linux, drivers/md/dm-integrity.c, ``struct superblock``: magic, version, log2 of the
    interleaved sectors, size of a tag, journal sections, provided data sectors, flags, log2 of
    the sectors of a block.
    """
    raw = data.read_bytes()
    tags = b"".join(
        struct.pack("<I", crc32c(raw[at : at + 4096])) for at in range(0, len(raw), 65536)
    )
    fields = struct.pack("<8sBBHIQIB", b"integrt\0", 4, 0, 4, 8, len(raw) // 512, 0, 3)
    return fields.ljust(4096, b"\0") + tags


def _run(*command: str | Path, text: str = "") -> str:
    done = subprocess.run(
        list(map(str, command)), input=text, capture_output=True, text=True, check=True
    )
    return done.stdout


def _count(case: Case, outcome: tuple[str, str] | Broken, tally: Tally) -> None:
    tally.tried["images"] += 1
    if isinstance(outcome, Broken):
        tally.hangs += outcome.hung
        tally.tracebacks += not outcome.hung
        tally.failures.append(f"sealed: {case}: {outcome.text}")
        return
    tally.outcomes[outcome[0]] += 1
    if outcome[1]:
        tally.lost += 1
        tally.failures.append(f"sealed: {case}: {outcome[1]}")
