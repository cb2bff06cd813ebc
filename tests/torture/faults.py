"""System calls that fail: each that touches the image or what is beside it, in turn.

strace(1) makes them fail: those of the command itself and those of the programs that it runs. The
image has to hold what was in use of it, nothing may be left beside it, and what is said is a line.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.mounting import mounted

from .parts import Job, Tally
from .prepared import Prepared, used_ext4
from .workers import Broken, spread

MIB = 1 << 20
METHODS = ("punch", "copy", "reflink", "dig-holes", "qemu-img", "command", "none")
ERRORS = ("ENOSPC", "EIO", "EROFS", "EDQUOT", "EOPNOTSUPP")
LIMIT = 60  # seconds
# Where these fail nobody could remove anything.
REMOVING = ("unlink", "unlinkat", "rmdir")
# strace counts the calls of each process by itself: a program's tenth would be our tenth, too.
OF_PROGRAMS = ("copy_file_range", "fallocate", "fsync", "ftruncate", "ioctl", "pwrite64", "write")
NOT_FAILING = ("close", "execve", "exit_group", "munmap")
SAYING = re.compile(r"2<")  # the errors that are told
CALL = re.compile(r"^(\d+) +(\w+)\((.*)", re.M)


class Fault(NamedTuple):
    method: str
    call: str
    number: int
    error: str

    def __str__(self) -> str:
        return f"{self.method}:{self.call}:{self.number}:{self.error}"


class Outcome(NamedTuple):
    status: int
    said: str
    lost: int
    leftovers: tuple[str, ...]


def run(job: Job, tally: Tally) -> None:
    if lack := _lack():
        tally.remarks.append(lack)
        return
    prepared = used_ext4(job.folder / "prepared")
    with contextlib.ExitStack() as stack:
        folders = dict.fromkeys(METHODS, job.folder)
        if os.geteuid() == 0:
            folders["reflink"] = stack.enter_context(mounted("xfs", job.folder, 400 * MIB))
        else:
            del folders["reflink"]
            tally.remarks.append("reflink: a filesystem that can clone is mounted by root only")
        cases = [c for m in folders for c in _faults(job, prepared, m, folders[m])]
        if job.share < 1:
            cases = random.Random(job.seed).sample(cases, job.count(len(cases)))

        cases = [c for c in cases if job.only in (None, str(c))]

        def work(fault: Fault) -> Outcome:
            return _fail(prepared, fault, folders[fault.method])

        for fault, outcome in spread(cases, work, workers=job.workers, limit=LIMIT):
            _judge(fault, outcome, tally)


def _lack() -> str:
    """Why no system call can be made to fail; nothing where they can."""
    if not shutil.which("strace"):
        return "strace is not installed"
    done = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True)
    return f"strace: {done.stderr.strip()}" if done.returncode else ""


def _command(image: Path, method: str) -> list[str]:
    options = ["--command", "fallocate --dig-holes"] if method == "command" else []
    return [
        *(sys.executable, "-m", "bootstrapvz_sparse.cli", "sparsify"),
        *("--quiet", "--method", method, *options, str(image)),
    ]


@contextlib.contextmanager
def _place(folder: Path, prepared: Prepared) -> Iterator[Path]:
    """An image in a folder of its own."""
    place = folder / f"at-{os.getpid()}"
    place.mkdir()
    try:
        yield prepared.write(place / "image")
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _faults(job: Job, prepared: Prepared, method: str, folder: Path) -> list[Fault]:
    """All calls of a run that name something in the image's folder, each to fail in some way."""
    chance = random.Random(f"{job.seed} {method}")
    with _place(folder, prepared) as image:
        log = job.folder / "calls"
        strace = ["strace", "--follow-forks", "--decode-fds=path", "--output", str(log)]
        subprocess.run([*strace, *_command(image, method)], check=True, capture_output=True)
        text, here = log.read_text(errors="replace"), str(image.parent)
    ours, counted, found = "", Counter[tuple[str, str]](), set()
    for pid, call, rest in CALL.findall(text):
        ours = ours or pid
        counted[pid, call] += 1
        if here not in rest or call in NOT_FAILING or SAYING.match(rest):
            continue
        if pid == ours or call in OF_PROGRAMS:
            found.add((call, counted[pid, call]))
    return [Fault(method, call, number, chance.choice(ERRORS)) for call, number in sorted(found)]


def _fail(prepared: Prepared, fault: Fault, folder: Path) -> Outcome:
    with _place(folder, prepared) as image:
        inject = f"{fault.call}:error={fault.error}:when={fault.number}"
        done = subprocess.run(
            [
                *("strace", "--follow-forks", "--seccomp-bpf", "--output", "/dev/null"),
                *(f"--trace={fault.call}", f"--inject={inject}"),
                *_command(image, fault.method),
            ],
            capture_output=True,
            text=True,
            errors="replace",
        )
        beside = sorted(each.name for each in image.parent.iterdir() if each != image)
        return Outcome(done.returncode, done.stderr.strip(), prepared.lost(image), tuple(beside))


def _judge(fault: Fault, outcome: Outcome | Broken, tally: Tally) -> None:
    tally.tried["faults"] += 1
    if isinstance(outcome, Broken):
        tally.hangs += outcome.hung
        tally.tracebacks += not outcome.hung
        tally.failures.append(f"faults: {fault}: {outcome.text}")
        return
    wrong = []
    if outcome.lost:
        tally.lost += outcome.lost
        wrong.append(f"{outcome.lost} bytes lost")
    if outcome.leftovers and fault.call not in REMOVING:
        tally.leftovers += len(outcome.leftovers)
        wrong.append(f"left: {', '.join(outcome.leftovers)}")
    lines = outcome.said.splitlines()
    if re.search(r"^(ModuleNotFound|Import)Error: ", outcome.said, re.M):
        tally.outcomes["Python itself could not be loaded"] += 1
    elif "Traceback" in outcome.said:
        tally.tracebacks += 1
        wrong.append(outcome.said)
    elif outcome.status == 1 and len(lines) != 1 and (lines or fault.call != "write"):
        # a program's first write that fails makes ours fail, too: that of the error
        wrong.append(f"no line says why: {lines}")
    elif outcome.status not in (0, 1):
        wrong.append(f"status {outcome.status}: {outcome.said}")
    tally.outcomes["made sparse in spite of it" if outcome.status == 0 else "refused"] += 1
    if wrong:
        tally.failures.append(f"faults: {fault}: {'; '.join(wrong)}")
