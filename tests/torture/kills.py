"""Runs that are ended at a random moment: by SIGKILL, and by what asks to end.

Each is the command itself, in a process that has loaded everything already. Afterwards the image
has to hold what was in use of it, no process may be left, and no file; but for a temporary one
after SIGKILL, which the next run has to remove.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bootstrapvz_sparse.cli import main as command
from bootstrapvz_sparse.image.methods import METHODS
from bootstrapvz_sparse.util import programs
from bootstrapvz_sparse.util.errors import ProgramMissing
from tests.support.mounting import mounted

from . import kills_view
from .parts import Job, Tally
from .prepared import Prepared, used_ext4
from .workers import Broken, spread

MIB = 1 << 20
KILLS, REQUESTS = 1000, 200  # of each method; of the slow ones a few
SLOW = ("virt-sparsify", "virt-sparsify-copy")
LIMIT = 300  # seconds
# libguestfs starts a virtual machine, for minutes where there is no KVM
TCG = {"LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"}
PR_SET_CHILD_SUBREAPER = 36  # prctl(2)

COMMAND = "fallocate --dig-holes"


class Case(NamedTuple):
    method: str
    number: int
    signal: signal.Signals
    share: float  # of the time that a whole run takes

    def __str__(self) -> str:
        return f"{self.method}:{self.signal.name}:{self.number}"


class Outcome(NamedTuple):
    what: str
    lost: int = 0
    leftovers: tuple[str, ...] = ()
    traceback: str = ""


def run(job: Job, tally: Tally) -> None:
    os.environ.update(TCG)
    prepared = used_ext4(job.folder / "prepared")
    with contextlib.ExitStack() as stack:
        cloning = job.folder
        if os.geteuid() == 0:  # files can be cloned there
            cloning = stack.enter_context(mounted("xfs", job.folder, 400 * MIB))
        for method in METHODS:
            if lack := _lack(method, job):
                tally.remarks.append(f"{method}: {lack}")
                continue
            folder = cloning if method == "reflink" else job.folder
            _try(job, tally, prepared, method, folder)
    kills_view.run(job, tally)


def _lack(method: str, job: Job) -> str:
    """Why the method is not tried; nothing where it is."""
    if method == "reflink" and os.geteuid() != 0:
        return "a filesystem that can clone is mounted by root only"
    if method not in SLOW:
        return ""
    if job.share < 1:
        return "in the full form only"
    try:
        programs.find(method.removesuffix("-copy"))
    except ProgramMissing as missing:
        return str(missing)
    return ""


def _try(job: Job, tally: Tally, prepared: Prepared, method: str, folder: Path) -> None:
    whole = _time(prepared, method, folder)

    def work(case: Case) -> Outcome:
        with _place(folder, f"{case.number}") as place:
            return _kill(prepared, case, place, whole)

    cases = [case for case in _cases(job, method) if job.only in (None, str(case))]
    for case, outcome in spread(cases, work, workers=job.workers, limit=LIMIT):
        tally.tried["kills" if case.signal == signal.SIGKILL else "requests to end"] += 1
        if isinstance(outcome, Broken):
            tally.hangs += outcome.hung
            tally.tracebacks += not outcome.hung
            tally.failures.append(f"kills: {case}: {outcome.text}")
            continue
        tally.outcomes[f"{case.signal.name}: {outcome.what}"] += 1
        tally.lost += outcome.lost
        tally.leftovers += len(outcome.leftovers)
        tally.tracebacks += bool(outcome.traceback)
        if outcome.lost or outcome.leftovers or outcome.traceback:
            tally.failures.append(f"kills: {case}: {outcome}")


def _cases(job: Job, method: str) -> Iterator[Case]:
    chance = random.Random(f"{job.seed} {method}")
    fewer = 300 if method in SLOW else 1
    for number in range(job.count(KILLS // fewer)):
        # later more often: when something is written
        yield Case(method, number, signal.SIGKILL, chance.random() ** 0.5)
    for number in range(job.count(max(REQUESTS // fewer, 1))):
        yield Case(method, number, chance.choice([signal.SIGINT, signal.SIGTERM]), chance.random())


@contextlib.contextmanager
def _place(folder: Path, name: str) -> Iterator[Path]:
    place = folder / f"at-{name}-{os.getpid()}"
    place.mkdir()
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _time(prepared: Prepared, method: str, folder: Path) -> float:
    """Seconds that a whole run takes."""
    with _place(folder, "first") as place:
        image = prepared.write(place / "image")
        began = time.monotonic()
        child = _start(image, method, place.parent / f"said-{method}")
        status = os.waitpid(child, 0)[1]
        took = time.monotonic() - began
        said = (place.parent / f"said-{method}").read_text()
        assert status == 0 and _lost(prepared, image, method) == 0, said
    return took


def _lost(prepared: Prepared, image: Path, method: str) -> int:
    return prepared.lost_of_files(image) if method in SLOW else prepared.lost(image)


def _start(image: Path, method: str, said: Path) -> int:
    """Run the command in a child, that writes to the file ``said``; its process id."""
    fd = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    child = os.fork()
    if child:
        os.close(fd)
        return child
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # or a shell has let us ignore it
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        arguments = ["--method", method, *["--command", COMMAND] * (method == "command")]
        status = command(["sparsify", "--quiet", *arguments, str(image)])
    except KeyboardInterrupt:  # after its end
        pass
    finally:
        os._exit(status)


def _kill(prepared: Prepared, case: Case, place: Path, whole: float) -> Outcome:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # what is left becomes ours
    image, said = prepared.write(place / "image"), place.with_name(f"{place.name}.said")
    child = _start(image, case.method, said)
    time.sleep(case.share * whole * 1.05)
    os.kill(child, case.signal)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    text = said.read_text(errors="replace")
    said.unlink()
    left = [f"process {pid}" for pid in _orphans()]
    beside = sorted(each.name for each in place.iterdir() if each != image)
    lost = _lost(prepared, image, case.method)
    what = {0: "it had ended", 1: "it undid what it had begun"}.get(status, "killed")
    if case.signal == signal.SIGKILL and beside:
        what = "killed, with a temporary file"
        left += [name for name in beside if not name.endswith(".bvz-sparse")]
        again = _start(image, "punch", said)
        assert os.waitpid(again, 0)[1] == 0, said.read_text()
        said.unlink()
        left += sorted(each.name for each in place.iterdir() if each != image)
        lost += _lost(prepared, image, case.method)
    else:
        left += beside
    if case.number % 10 == 0:
        subprocess.run(["e2fsck", "-fn", image], check=True, capture_output=True)
    return Outcome(what, lost, tuple(left), text if "Traceback" in text else "")


def _orphans(patience: float = 5) -> list[int]:
    """Processes that go on although what started them has ended."""
    deadline = time.monotonic() + patience
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.002)
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        return [int(pid) for pid in children]
    return []
