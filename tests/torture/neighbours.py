"""A neighbour who owns the folder and swaps names in it after each system call of ours.

strace(1) stops the command after a call that names something in the folder. Then a process of
nobody renames, links and exchanges the image, the temporaries or the folder itself, and, for some,
undoes that after one of the next calls. Nothing of root's may change anywhere but in the image:
no byte, block, mode, time or attribute of a file, no entry of a folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.mounting import mounted
from tests.support.nobody import NOBODY

from . import scenarios
from .neighbour import Neighbour
from .parts import Job, Tally
from .prepared import Prepared, used_ext4
from .scenarios import SCENARIOS, Scenario
from .workers import Broken, spread

MIB = 1 << 20
TRIES = 1000
LIMIT = 120  # seconds
ACTIONS = {
    "link": 6, "link to folder": 2, "link to it": 2, "hard link": 1, "own": 2, "theirs.raw": 4,
    "theirs": 2, "gone": 1, "fifo": 1, "folder": 1, "exchange": 3,
}  # fmt: skip
BACK = (None, None, 1, 2, 3, 5)  # after how many calls it is undone
CALL = re.compile(r"^(\d+) +(\w+)\((.*)", re.M)
STOPPED = re.compile(r"(\d+) +--- stopped by SIGSTOP")
NOT_STOPPED = ("execve", "exit_group", "vfork", "clone", "clone3")


Images = tuple[Prepared, Prepared]  # that of the command, and all others


class Try(NamedTuple):
    """The call after which a name is swapped, how, and after how many calls that is undone.

    ``ours``: it is a call of the command itself, and not of a program that it runs.
    """

    scenario: str
    call: str
    number: int
    ours: bool
    action: str
    target: str
    back: int | None

    def __str__(self) -> str:
        return ":".join(map(str, self)).replace(" ", "-")


class Outcome(NamedTuple):
    """The outcome of a try; ``changed``: names of files of root that changed."""

    what: str
    changed: tuple[str, ...] = ()
    traceback: str = ""
    lost: int = 0


def run(job: Job, tally: Tally) -> None:
    missing = [name for name in ("strace", "mke2fs", "debugfs") if not shutil.which(name)]
    if os.geteuid() != 0 or missing:
        tally.remarks.append(f"neighbours: needs root, and strace: {', '.join(missing)}")
        return
    os.chmod(job.folder, 0o755)
    prepared = used_ext4(job.folder / "prepared")
    other = used_ext4(job.folder / "other", 11 * MIB)
    with contextlib.ExitStack() as stack:
        cloning = stack.enter_context(mounted("xfs", job.folder, 600 * MIB))
        os.chmod(cloning, 0o755)
        tries: list[Try] = []
        for scenario in SCENARIOS.values():
            if reason := scenario.skip_reason():
                tally.remarks.append(f"neighbours: {scenario.name}: {reason}")
                continue
            folder = cloning if scenario.clones else job.folder
            count = max(job.count(TRIES) // len(SCENARIOS), 1)
            tries += _tries(job, (prepared, other), scenario, folder, count)

        def work(one: Try) -> Outcome:
            scenario = SCENARIOS[one.scenario]
            with _house(
                cloning if scenario.clones else job.folder, (prepared, other), scenario
            ) as house:
                return _swap(prepared, scenario, house, one)

        wanted = [one for one in tries if job.only in (None, str(one))]
        for one, outcome in spread(wanted, work, workers=job.workers, limit=LIMIT):
            _count(one, outcome, tally)


class House(NamedTuple):
    """A folder of nobody's with the folder ``place`` in it, and ``victims`` of root's."""

    whole: Path
    place: Path
    victims: Path


@contextlib.contextmanager
def _house(folder: Path, images: Images, scenario: Scenario) -> Iterator[House]:
    whole = folder / f"house-{os.getpid()}"
    house = House(whole, whole / "place", folder / f"victims-{os.getpid()}")
    try:
        for path in (whole, house.place, house.victims):
            path.mkdir(0o755)
        for path in (house.victims / "disk.raw", house.place / "theirs.raw"):
            images[1].write(path)
            os.chmod(path, 0o600)
            os.utime(path, ns=(10**18, 10**18))
        (house.place / "theirs").mkdir(0o700)
        (house.place / "theirs" / "file").write_text("of root")
        images[1].write(house.place / "own")
        os.chown(house.place / "own", NOBODY, NOBODY)
        scenario.prepare(house.place, images[0])
        for path in (whole, house.place):
            os.chown(path, NOBODY, NOBODY)
        yield house
    finally:
        shutil.rmtree(whole, ignore_errors=True)
        shutil.rmtree(house.victims, ignore_errors=True)


def _tries(job: Job, images: Images, scenario: Scenario, folder: Path, count: int) -> list[Try]:
    """Return tries at calls of a run that name something in the folder, each call about equally."""
    chance = random.Random(f"{job.seed} {scenario.name}")
    log = job.folder / "calls"
    with _house(folder, images, scenario) as house:
        strace = ["strace", "--follow-forks", "--decode-fds=path", "--output", str(log)]
        subprocess.run([*strace, *scenario.command(house.place)], capture_output=True, check=True)
        text, here = log.read_text(errors="replace"), str(house.place)
    counted, calls, ours = Counter[tuple[str, str]](), set(), ""
    opened = not scenario.opened
    for pid, call, rest in CALL.findall(text):
        ours = ours or pid
        counted[pid, call] += 1
        opened = opened or (call == "openat" and scenario.opened in rest)
        if opened and here in rest and call not in NOT_STOPPED:
            calls.add((call, counted[pid, call], pid == ours))
    found = sorted(calls)
    chance.shuffle(found)
    tries = []
    for number in range(count):
        call = found[number % len(found)]
        action = chance.choices(list(ACTIONS), list(ACTIONS.values()))[0]
        target = chance.choice(scenario.targets)
        tries.append(Try(scenario.name, *call, action, target, chance.choice(BACK)))
    return tries


def _swap(prepared: Prepared, scenario: Scenario, house: House, one: Try) -> Outcome:
    """Run the command, let the neighbour swap, and look what changed."""
    inodes = {
        name: (house.place / name).stat().st_ino for name in ("theirs.raw", "theirs", "theirs/file")
    }
    before = {**_state(house.victims), **_theirs(house, inodes)}
    neighbour = Neighbour(house.place, house.victims)
    pipe = house.victims.with_name(f"pipe-{os.getpid()}")
    said = house.victims.with_name(f"said-{os.getpid()}")
    os.mkfifo(pipe)
    try:
        with said.open("wb") as output:
            process = subprocess.Popen(
                [
                    *("strace", "--follow-forks", "--output", str(pipe), f"--trace={one.call}"),
                    f"--inject={one.call}:signal=SIGSTOP:when={one.number}+1",
                    *scenario.command(house.place),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
            swapped = _watch(pipe, one, neighbour)
            status = process.wait()
        text = said.read_text(errors="replace")
    finally:
        neighbour.close()
        pipe.unlink()
        said.unlink()
    after = {**_state(house.victims), **_theirs(house, inodes)}
    if "theirs.raw" not in after:
        before.pop("theirs.raw")
    changed = [
        f"{name}: {before.get(name)} became {after.get(name)}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
    what = "could not be swapped" if not swapped else "worked" if status == 0 else "refused"
    lost = scenario.lost(prepared, house.whole)
    changed += scenarios.leftovers(house.whole)
    return Outcome(what, tuple(changed), text if "Traceback" in text else "", lost)


def _watch(pipe: Path, one: Try, neighbour: Neighbour) -> bool:
    """Continue the command at each stop, and let the neighbour act at two of them."""
    swapped, stops, ours = False, 0, ""
    with pipe.open(errors="replace") as lines:
        for line in lines:
            ours = ours or line.split()[0]
            if not (stopped := STOPPED.match(line)):
                continue
            if stops or one.ours == (stopped[1] == ours):
                if stops == 0:
                    swapped = neighbour.does(one.action, one.target)
                elif stops == one.back:
                    neighbour.does("back")
                stops += 1
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(stopped[1]), signal.SIGCONT)
    return swapped


def _state(folder: Path) -> dict[str, object]:
    """Return all that can change of the folder and the files in it."""
    found: dict[str, object] = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        status = path.lstat()
        attributes = {name: os.getxattr(path, name) for name in os.listxattr(path)}
        content = _digest(path) if path.is_file() else sorted(os.listdir(path))
        found[f"victims/{path.relative_to(folder)}"] = (
            *(status.st_mode, status.st_uid, status.st_gid, status.st_nlink, status.st_size),
            *(status.st_blocks, status.st_mtime_ns, status.st_ctime_ns, attributes, content),
        )
    return found


def _theirs(house: House, inodes: dict[str, int]) -> dict[str, object]:
    """Return the same of the things of root's that nobody may rename, wherever they are.

    The owner of the folder may remove the file, but not what lies in the folder.
    """
    here = {path.lstat().st_ino: path for path in house.whole.rglob("*")}
    found: dict[str, object] = {}
    for name, inode in inodes.items():
        path = here.get(inode)
        if path is None:
            found[name] = "gone" if name != "theirs.raw" else None
            continue
        status = path.lstat()
        content = _digest(path) if path.is_file() else sorted(os.listdir(path))
        found[name] = (
            *(status.st_mode, status.st_uid, status.st_gid, status.st_size, status.st_blocks),
            *(status.st_mtime_ns, content),
        )
    return {name: state for name, state in found.items() if state is not None}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _count(one: Try, outcome: Outcome | Broken, tally: Tally) -> None:
    tally.tried["swaps"] += 1
    if isinstance(outcome, Broken):
        tally.hangs += outcome.hung
        tally.tracebacks += not outcome.hung
        tally.failures.append(f"neighbours: {one}: {outcome.text}")
        return
    tally.outcomes[f"{one.scenario}: {outcome.what}"] += 1
    tally.lost += outcome.lost
    tally.tracebacks += bool(outcome.traceback)
    if outcome.changed or outcome.traceback or outcome.lost:
        tally.failures.append(f"neighbours: {one}: {outcome}")
