"""Runs on a partitioned XFS that are ended while its checker reads the view of it.

In each of the ways in which the checker is shown the partition; afterwards nothing is mounted, no
loop device is attached, no process is left, and no byte in use has changed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bootstrapvz_sparse.cli import main as command
from bootstrapvz_sparse.image import on_view
from tests.support.xfsprogs import make

from .judge import common, total
from .oracle import Ranges, used
from .parts import Job, Tally
from .signatures import differences
from .workers import Broken, spread

MIB = 1 << 20
START, SIZE = 1 * MIB, 64 * MIB
KILLS = 200  # of each way
WAYS = ("namespace", "fusermount3", "loop")
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
CHECKER = "xfs_repair"
PATIENCE, LIMIT = 10, 60  # seconds
PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


class Case(NamedTuple):
    """A way, and the signal that comes some seconds after the checker was started."""

    way: str
    number: int
    signal: signal.Signals
    delay: float

    def __str__(self) -> str:
        return f"{self.way}:{self.signal.name}:{self.number}"


class Outcome(NamedTuple):
    """An outcome, how many bytes in use changed, and what is left."""

    what: str
    lost: int
    leftovers: tuple[str, ...]
    traceback: str


def run(job: Job, tally: Tally) -> None:
    """Try all ways that this user has."""
    folder = job.folder / "views"
    folder.mkdir()
    image, in_use = _image(folder)
    ways = WAYS if os.geteuid() == 0 else WAYS[:2]
    if len(ways) < len(WAYS):
        tally.remarks.append("kills: the view by loop devices needs root")
    cases = [case for case in _cases(job, ways) if job.only in (None, str(case))]
    for case, outcome in spread(
        cases, partial(_kill, image, in_use), workers=job.workers, limit=LIMIT
    ):
        tally.tried["kills"] += 1
        if isinstance(outcome, Broken):
            tally.hangs += outcome.hung
            tally.tracebacks += not outcome.hung
            tally.failures.append(f"kills: {case}: {outcome.text}")
            continue
        tally.outcomes[f"view by {case.way}: {outcome.what}"] += 1
        tally.lost += outcome.lost
        tally.leftovers += len(outcome.leftovers)
        tally.tracebacks += bool(outcome.traceback)
        if outcome.lost or outcome.leftovers or outcome.traceback:
            tally.failures.append(f"kills: {case}: {outcome}")


def _cases(job: Job, ways: tuple[str, ...]) -> Iterator[Case]:
    for way in ways:
        chance = random.Random(f"{job.seed} {way}")
        for number in range(job.count(KILLS)):
            yield Case(way, number, chance.choice(SIGNALS), chance.random() * 0.08)


def _image(folder: Path) -> tuple[Path, Ranges]:
    """Return a disk with one XFS partition, and the bytes of it that are in use."""
    part, image = folder / "part", folder / "disk.raw"
    make(part, ["-d", "agcount=2"], SIZE)
    with image.open("wb") as file:
        file.truncate(START + SIZE + MIB)
    text = f"label: gpt\nstart={START // 512}, size={SIZE // 512}\n"
    subprocess.run(["sfdisk", "--quiet", image], input=text, text=True, check=True)
    with image.open("r+b") as file:
        os.pwrite(file.fileno(), part.read_bytes(), START)
    inside = [(START + start, START + end) for start, end in used(part, "xfs")]
    return image, [(0, START), *inside, (START + SIZE, START + SIZE + MIB)]


def _kill(source: Path, in_use: Ranges, case: Case) -> Outcome:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # what is left becomes ours
    image = source.with_name(f"disk-{os.getpid()}.raw")
    log = image.with_suffix(".log")
    image.write_bytes(source.read_bytes())
    try:
        child = _start(image, case.way, log)
        seen = _wait_for_checker(child)
        time.sleep(case.delay)
        os.kill(child, case.signal)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        text = log.read_text(errors="replace")
        left = tuple(_leftovers(image))
        lost = total(common(differences(source, image), in_use))
    finally:
        image.unlink()
        log.unlink(missing_ok=True)
    what = {0: "it had ended", 1: "it undid what it had begun"}.get(status, "killed")
    what = what if seen else f"{what}, and no checker was seen"
    return Outcome(what, lost, left, text if "Traceback" in text else "")


def _start(image: Path, way: str, log: Path) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        on_view.WAYS = (way,)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        status = command(["sparsify", "--quiet", str(image)])
    except KeyboardInterrupt:  # after its end
        pass
    finally:
        os._exit(status)


def _wait_for_checker(child: int) -> bool:
    """Wait until a descendant of ``child`` is the checker; return whether there was one."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if CHECKER in {_name(pid) for pid in _descendants(child)}:
            return True
        if _name(child) is None or _state(child) == "Z":
            return False
        time.sleep(0.002)
    return False


def _descendants(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for other in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                yield int(other)
                yield from _descendants(int(other))


def _name(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return None


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _leftovers(image: Path) -> Iterator[str]:
    """Name what is left some seconds later: the kernel detaches and unmounts a bit later."""
    deadline = time.monotonic() + PATIENCE
    while found := [*_processes(), *_mounts(), *_devices(image)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    yield from found


def _processes() -> Iterator[str]:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    for pid in _descendants(os.getpid()):
        yield f"process {pid} ({_name(pid)})"


def _mounts() -> Iterator[str]:
    """Name the mounts of views whose server is dead, wherever they are; others may be at work."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if "bvz-sparse" not in line or " fuse " not in line:
            continue
        try:
            os.stat(line.split()[4])
        except OSError:
            yield f"mount {line}"


def _devices(image: Path) -> Iterator[str]:
    done = subprocess.run(["losetup", "--associated", image], capture_output=True, text=True)
    yield from (f"device {line}" for line in done.stdout.splitlines())
