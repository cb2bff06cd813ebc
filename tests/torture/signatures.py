"""Two signatures in one place: an old one below a newer one, of which no byte may change.

Every type that a program of Debian makes is old once and newer once, for each other one, and
those that libblkid knows beyond are newer, too. The newer one is made over the old one by its own
program, without wiping, or its bytes that are not zero are laid over it. Between them, and in
their free blocks, lies data of nobody, so that each block that becomes free is seen. Where e2fsck
or xfs_repair finds the newer one sound it may lose what it does not use; otherwise nothing.
"""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bootstrapvz_sparse.image import sparsify
from bootstrapvz_sparse.util.errors import SparseError

from . import by_hand, makers, oracle
from .judge import common, total
from .makers import MAKERS, MIB
from .memory import memory
from .oracle import Ranges
from .parts import Job, Tally
from .pristine import copy, segments
from .workers import Broken, spread

SIZES = (64, 16, 1)  # MiB; libblkid judges what fits on a floppy disk in another way
START = 1 * MIB  # of the partition
JUNK, EVERY = b"of nobody\n" * 409 + b"......", 32 << 10
LIMIT = 120  # seconds
PIECE = 512  # bytes, of which one that is not zero is laid over the old ones
# The newer one fills the place of the old one, or one of them the disk, the other a partition.
PLACES = ("disk", "partition", "partition of the old disk", "disk of the old partition")
HOW = ("made", "laid")
ORACLE = {"ext2": "ext", "ext3": "ext", "ext4": "ext", "xfs": "xfs", "swap": "swap"}


class Case(NamedTuple):
    """A newer signature over an old one, in a place of ``size`` MiB."""

    old: str
    new: str
    place: str
    how: str
    size: int

    def __str__(self) -> str:
        return "/".join(map(str, self))


class Outcome(NamedTuple):
    """Return the outcome, and the changed bytes of the newer filesystem."""

    what: str
    lost: int = 0


def run(job: Job, tally: Tally) -> None:
    absent = {program for name in MAKERS if (program := makers.missing(name))}
    if absent:
        tally.remarks.append(f"signatures: not installed: {', '.join(sorted(absent))}")
    names = [name for name in MAKERS if not makers.missing(name)]
    if "ext4" not in names or "dos" not in names:
        return
    cases = _cases(names, random.Random(job.seed))
    cases = cases if job.only else cases[: job.count(_pairs(cases))]
    cases = [case for case in cases if job.only in (None, str(case))]
    with tempfile.TemporaryDirectory(prefix="torture-", dir=memory(job.folder)) as folder:
        for case, outcome in spread(
            cases, partial(_try, Path(folder)), workers=job.workers, limit=LIMIT
        ):
            _count(case, outcome, tally)


def _cases(names: list[str], chance: random.Random) -> list[Case]:
    """Return all cases by chance, but each pair once before any comes again in another place."""
    rounds: dict[tuple[str, str, str], list[Case]] = {}
    news = [*names, *by_hand.SIGNATURES]
    for old, new, place, how, size in itertools.product(names, news, PLACES, HOW, SIZES):
        least = max(_least(old), _least(new))
        smallest = min(s for s in SIZES if s >= least)
        if size < least or (size != smallest and place != "disk"):
            continue
        if how == "laid" or new in MAKERS:
            rounds.setdefault((old, new, how), []).append(Case(old, new, place, how, size))
    for cases in rounds.values():
        chance.shuffle(cases)
    layers = [list(filter(None, layer)) for layer in itertools.zip_longest(*rounds.values())]
    for layer in layers:
        chance.shuffle(layer)
    return [case for layer in layers for case in layer]


def _pairs(cases: list[Case]) -> int:
    return len({(case.old, case.new, case.how) for case in cases})


def _least(name: str) -> int:
    """Return the MiB that it needs."""
    return MAKERS[name].least if name in MAKERS else 16


def _try(folder: Path, case: Case) -> Outcome:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        return _try_in(Path(scratch), case)


def _try_in(folder: Path, case: Case) -> Outcome:
    size = case.size * MIB
    inside = case.place != "disk"
    image = folder / "image"
    _junk(image, size + 2 * START if inside else size)
    disk, partition = (0, image.stat().st_size), (START, START + size)
    old = partition if case.place in ("partition", "disk of the old partition") else disk
    new = partition if case.place in ("partition", "partition of the old disk") else disk
    try:
        if old == partition:
            _table(image, partition)
        _place(case.old, image, old, folder)
        if case.place == "partition of the old disk":
            _table(image, partition)
        if case.how == "made":
            _place(case.new, image, new, folder)
        else:
            _lay(case.new, image, new, folder)
    except makers.NotMade as reason:
        return Outcome(f"not made: {reason}" if "hangs" in str(reason) else "not made")
    before = folder / "before"
    copy(image, before)
    try:
        notes = sparsify(image, method="punch").notes
    except SparseError as error:
        return Outcome(f"refused: {type(error).__name__}")
    changed = differences(before, image)
    if not changed:
        alone = any("left alone" in note or "only zero" in note for note in notes)
        return Outcome("left alone" if alone else "nothing to free")
    used = _used(case.new, before, new, folder / "part")
    count = total(common(changed, used))
    return Outcome("bytes in use changed" if count else "bytes not in use became holes", count)


def _junk(image: Path, size: int) -> None:
    """Write bytes of nobody, a block of every few."""
    with image.open("wb") as file:
        file.truncate(size)
        for start in range(0, size, EVERY):
            os.pwrite(file.fileno(), JUNK, start)


def _table(image: Path, partition: tuple[int, int]) -> None:
    start, end = (place // 512 for place in partition)
    text = f"label: gpt\nstart={start}, size={end - start}\n"
    done = subprocess.run(
        ["sfdisk", "--quiet", "--wipe=never", image], input=text, text=True, capture_output=True
    )
    if done.returncode:
        raise makers.NotMade(f"table: {done.stderr}")


def _place(name: str, image: Path, place: tuple[int, int], folder: Path) -> None:
    """Make it over the bytes of ``place`` in the image."""
    start, end = place
    part = folder / "made"
    with image.open("rb") as file, part.open("wb") as out:
        out.truncate(end - start)
        for first, last in segments(file.fileno()):
            first, last = max(first, start), min(last, end)
            if first < last:
                os.pwrite(out.fileno(), os.pread(file.fileno(), last - first, first), first - start)
    if name in MAKERS:
        makers.make(name, part, folder)
    else:
        with part.open("r+b") as out:
            by_hand.write(name, out.fileno(), 0, end - start)
        _require_known(name, end - start, folder / "alone")
    _write_all(image, start, part)
    part.unlink()


def _require_known(name: str, size: int, path: Path) -> None:
    """Refuse a signature that libblkid does not know, because of the size, if it knows the type.

    :raises NotMade: libblkid does not know it
    """
    with path.open("wb") as file:
        file.truncate(size)
        by_hand.write(name, file.fileno(), 0, size)
    kind = by_hand.SIGNATURES[name].kind
    if kind and oracle.said("blkid", "-p", "-s", "TYPE", "-o", "value", path)[1].strip() != kind:
        raise makers.NotMade(f"{name}: too small")


def _write_all(image: Path, start: int, part: Path) -> None:
    """Write all of ``part`` that differs from the image; holes that were made are zeros."""
    with image.open("r+b") as file, part.open("rb") as source:
        for chunk in range(0, part.stat().st_size, MIB):
            raw = os.pread(source.fileno(), MIB, chunk)
            if raw != os.pread(file.fileno(), len(raw), start + chunk):
                os.pwrite(file.fileno(), raw, start + chunk)


def _lay(name: str, image: Path, place: tuple[int, int], folder: Path) -> None:
    """Write what is not zero of it, made in an empty file, into the image."""
    blank = folder / "blank"
    with blank.open("wb") as file:
        file.truncate(place[1] - place[0])
    _place(name, blank, (0, place[1] - place[0]), folder)
    with blank.open("rb") as file, image.open("r+b") as out:
        for start, end in segments(file.fileno()):
            for position in range(start, end, PIECE):
                raw = os.pread(file.fileno(), min(PIECE, end - position), position)
                if raw.strip(b"\0"):
                    os.pwrite(out.fileno(), raw, place[0] + position)
    blank.unlink()


def differences(before: Path, after: Path) -> Ranges:
    """Return the ranges, in pieces of 512 bytes, in which two files differ.

    :raises AssertionError: their sizes differ
    """
    assert before.stat().st_size == after.stat().st_size, "its size changed"
    ranges: Ranges = []
    with before.open("rb") as first, after.open("rb") as second:
        for chunk in range(0, before.stat().st_size, MIB):
            one, other = (os.pread(file.fileno(), MIB, chunk) for file in (first, second))
            for at in range(0, 0 if one == other else len(one), PIECE):
                if one[at : at + PIECE] != other[at : at + PIECE]:
                    start, end = chunk + at, chunk + min(at + PIECE, len(one))
                    if ranges and ranges[-1][1] == start:
                        start = ranges.pop()[0]
                    ranges.append((start, end))
    return ranges


def _used(name: str, image: Path, place: tuple[int, int], part: Path) -> Ranges:
    """Return the bytes of the image that the newer one, or anybody outside of it, may need."""
    start, end = place
    size = image.stat().st_size
    kind = ORACLE.get(name.split(",")[0])
    if kind is None:
        return [(0, size)]
    with image.open("rb") as file:
        part.write_bytes(os.pread(file.fileno(), end - start, start))
    if not oracle.sound(part, kind):
        return [(0, size)]
    try:
        inside = [(start + first, start + last) for first, last in oracle.used(part, kind)]
    except oracle.Unreadable:
        return [(0, size)]
    return [(0, start), *inside, (end, size)]


def _count(case: Case, outcome: Outcome | Broken, tally: Tally) -> None:
    if isinstance(outcome, Broken):
        tally.tried["images"] += 1
        tally.hangs += outcome.hung
        tally.tracebacks += not outcome.hung
        tally.failures.append(f"signatures: {case}: {outcome.text}")
        return
    tally.outcomes[outcome.what] += 1
    if outcome.what.startswith("not made"):
        return
    tally.tried["images"] += 1
    tally.lost += outcome.lost
    if outcome.lost:
        tally.failures.append(f"signatures: {case}: {outcome.lost} bytes changed")
