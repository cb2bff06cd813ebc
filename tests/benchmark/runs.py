"""Run a way on a copy of an image, and keep what that took."""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .copies import MIB, allocated, copy, count_extents
from .images import Image
from .processes import PRIVATE_MOUNTS, Failed, run
from .ways import COPY, EVERY, IMAGE, METADATA, POINT, TARBALL, Command, Way

PATIENCE = 900.0  # seconds; a virtual machine that does not start waits for ever


@dataclass(frozen=True)
class Run:
    seconds: float
    left: int  # bytes that the image still takes, or all copies of it
    extra: int  # bytes of a second copy, at its largest
    read: int
    memory: int
    least_memory: int  # what could have been told at all
    extents: int


@dataclass
class Results:
    """Runs by image and way, and there by round."""

    runs: dict[tuple[str, str], dict[int, Run]] = field(default_factory=dict)

    def add(self, image: str, way: str, number: int, taken: Run) -> None:
        self.runs.setdefault((image, way), {})[number] = taken

    def median(self, image: str, way: str, what: str) -> float | None:
        values = [getattr(taken, what) for taken in self.runs.get((image, way), {}).values()]
        return statistics.median(values) if values else None

    def most(self, image: str, way: str, what: str) -> float | None:
        values = [getattr(taken, what) for taken in self.runs.get((image, way), {}).values()]
        return max(values, default=None)

    def ratio(self, first: tuple[str, str], second: tuple[str, str]) -> float | None:
        """Return the time of the first by that of the second: the median over their rounds."""
        ours, theirs = self.runs.get(first, {}), self.runs.get(second, {})
        ratios = [ours[number].seconds / theirs[number].seconds for number in ours.keys() & theirs]
        return statistics.median(ratios) if ratios else None


@contextlib.contextmanager
def workplace(folder: Path) -> Iterator[Path]:
    """An empty folder below ``folder``, gone afterwards."""
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    (work / "mounted").mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work)


def measure(way: Way, image: Image, folder: Path) -> Run:
    """Run ``way`` on an exact copy of ``image``.

    :raises Failed: the copy is not exact, or the way failed
    """
    with workplace(image.place(folder)) as work:
        targets = [work / "image", *(work / f"image{i}" for i in range(1, way.together))]
        for target in targets:
            copy(image.path(folder), target)
        return _take(way, targets)


def start_up_read(folder: Path) -> int:
    """Bytes that Python reads to start ours: what it reads where there is next to nothing to do."""
    with workplace(folder) as work:
        target = work / "image"
        with target.open("wb") as file:
            file.truncate(8 * MIB)
        run("mkfs.ext4", "-q", target)
        nothing = Way("start", [METADATA], ours=True)
        return min(_take(nothing, [target]).read for _ in range(2))  # the first may compile


def _take(way: Way, targets: list[Path]) -> Run:
    work = targets[0].parent
    originals = {target.stat().st_ino for target in targets}
    extra = 0

    def watch() -> None:
        nonlocal extra
        extra = max(extra, _second_copy(work, originals))

    environment = {"TMPDIR": str(work), "LIBGUESTFS_BACKEND": "direct"}
    sectors = _sectors_read_by_loop_devices()
    command = _wrapped(way, targets)
    said = run(*command, environment=environment, watch=watch, patience=PATIENCE)
    # the kernel's own reading counts for no process
    sectors = _sectors_read_by_loop_devices() - sectors if way.mounts else 0
    os.sync()
    watch()
    seconds, read, memory, least_memory = said.split()
    return Run(
        seconds=float(seconds),
        left=sum(allocated(target) for target in targets),
        extra=extra,
        read=int(read) + sectors * 512,
        memory=int(memory),
        least_memory=int(least_memory),
        extents=sum(count_extents(target) for target in targets),
    )


def _wrapped(way: Way, targets: list[Path]) -> list[str | Path]:
    measured = Path(__file__).with_name("measure.py")
    words: list[str | Path] = [*PRIVATE_MOUNTS] if way.mounts else []
    words += [sys.executable, "-I", "-S", measured]
    for number, command in enumerate(way.commands):
        words += [";"] if number else []
        at_once = targets[:1] if EVERY in command else targets
        for target in at_once:
            words += ["&"] if target != at_once[0] else []
            words += _filled(command, target, targets)
    return words


def _filled(command: Command, target: Path, targets: list[Path]) -> Iterator[str | Path]:
    places = {
        IMAGE: target,
        COPY: target.with_name("copy"),
        POINT: target.with_name("mounted"),
        TARBALL: target.with_name("copy.tar.gz"),
    }
    for word in command:
        yield from targets if word == EVERY else [places.get(word, word)]


def _second_copy(work: Path, originals: set[int]) -> int:
    """Bytes of all files but those that were there at the start, whatever their names."""
    taken = 0
    for path in work.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # removed meanwhile
            status = path.lstat()
            if path.is_file() and status.st_ino not in originals:
                taken += status.st_blocks * 512
    return taken


def _sectors_read_by_loop_devices() -> int:
    """Since the machine started; Documentation/block/stat.rst of the kernel."""
    return sum(int(path.read_text().split()[2]) for path in Path("/sys/block").glob("loop*/stat"))


def journal(image: Image, folder: Path) -> int:
    """Bytes of blocks that are not zero in the log of an ext4 journal, its superblock left out."""
    block = 4096
    with workplace(folder) as work:
        target = work / "journal"
        run("debugfs", "-R", f"dump <8> {target}", image.path(folder))
        if not target.exists():
            raise Failed(f"{image.name} has no journal")
        with target.open("rb") as file:
            file.seek(block)
            return sum(len(part) for part in iter(lambda: file.read(block), b"") if any(part))
