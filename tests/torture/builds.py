"""Whole builds that are ended at any moment: by signals, after which nothing may be left, and by
SIGKILL, after which ``bvz-sparse clean`` may leave nothing; and a neighbour that loses nothing.

The builds are small and real, but for debootstrap and chroot: mkfs, loop devices and mounts.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bootstrapvz_sparse.builder import leftovers
from bootstrapvz_sparse.builder.record import NAME, Record, path_of
from bootstrapvz_sparse.upstream import loop_partitions
from bootstrapvz_sparse.util.temporary import temporary
from tests.support.manifests import write
from tests.support.mounting import attached, mounted

from .parts import Job, Tally

ROOT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-m", "bootstrapvz_sparse.cli"]
LIMIT = 60  # seconds
TASKS = 58  # of a build, or a few less
EACH = 30  # of the full form
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TWICE, CLEAN_TWICE = 0.3, 0.3  # of the cases

ROOT_PARTITION = {"filesystem": "ext4", "size": "64MiB"}
LAYOUTS: dict[str, dict[str, Any]] = {
    "none": {"type": "none", "root": ROOT_PARTITION},
    "msdos": {
        "type": "msdos",
        "boot": {"filesystem": "ext2", "size": "16MiB"},
        "swap": {"size": "16MiB"},
        "root": ROOT_PARTITION,
    },
}


class Case(NamedTuple):
    """A build that is to be ended, ``how``: by a signal that it hears of, or by SIGKILL."""

    how: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.how}-{self.number}"


def run(job: Job, tally: Tally) -> None:
    missing = [name for name in ("losetup", "parted", "mkfs.ext4") if not shutil.which(name)]
    if os.geteuid() != 0 or missing:
        tally.remarks.append(f"builds: they need root, and programs: {', '.join(missing)}")
        return
    workspace = job.folder.resolve() / "images"
    workspace.mkdir()
    with _neighbour(workspace) as untouched:
        for how in ("signal", "kill"):
            for number in range(job.count(EACH)):
                case = Case(how, number)
                if job.only in (None, case.name):
                    _try(case, job, tally)
                    tally.failures += [f"{case.name}: {lost}" for lost in untouched()]


def _start(log: Path, *arguments: str, path: str = "") -> subprocess.Popen[bytes]:
    """The command, which writes to ``log``: no program that goes on can keep us reading."""

    def hear() -> None:
        for number in SIGNALS:  # a shell lets what runs in its background ignore some
            signal.signal(number, signal.SIG_DFL)

    with log.open("wb") as file:
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=ROOT,
            env={**os.environ, "PATH": f"{path}{os.environ['PATH']}:/usr/sbin:/sbin"},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            preexec_fn=hear,
        )


def _try(case: Case, job: Job, tally: Tally) -> None:
    """Start a build, end it, and count what it left."""
    tally.tried["kills"] += 1
    chance = random.Random(f"{job.seed} {case.name}")
    layout, tasks = chance.choice(sorted(LAYOUTS)), chance.randrange(TASKS)
    shown = f"{case.name} ({layout}, in task {tasks})"
    workspace, log = job.folder.resolve() / "images", job.folder / "log"
    image = workspace / f"image-{case.name}.raw"
    parts = {"system.bootloader": "none", "volume.partitions": LAYOUTS[layout]}
    manifest = write(job.folder, {"name": image.stem, **parts})
    options = ["--log", "-", "--partition-mapper", "loop"]
    build = _start(log, "build", *options, str(manifest), path=f"{ROOT}/tests/support/fakes:")
    try:
        runs = _end(build, case, tasks, chance, workspace, log)
    except subprocess.TimeoutExpired:
        tally.hangs += 1
        tally.failures.append(f"{shown}: hangs")
        build.kill()
        build.wait()
        return
    said, finished = log.read_text(errors="replace"), image.exists()
    outcome, wrong = f"{case.how}: nothing was made yet", []
    if runs:
        outcome = f"{case.how}: all was undone"
    if case.how == "kill":
        wrong += _clean(workspace, chance, log)
    elif runs and not finished and (build.returncode != 1 or "Traceback" in said):
        tally.tracebacks += "Traceback" in said
        wrong.append(f"status {build.returncode}: {said[-300:]}")
    if finished:
        outcome = f"{case.how}: the image was complete"
        wrong += _wrong_with(image, log)
        image.unlink()
    left = _left(workspace, runs)
    tally.outcomes[outcome] += 1
    tally.leftovers += len(left)
    tally.failures += [f"{shown}: {line}" for line in [*wrong, *(f"left: {one}" for one in left)]]


def _end(
    build: subprocess.Popen[bytes],
    case: Case,
    tasks: int,
    chance: random.Random,
    workspace: Path,
    log: Path,
) -> set[str]:
    """End the build a moment after it began so many tasks; the runs that had a record.

    :raises subprocess.TimeoutExpired: it does not end
    """
    until = time.monotonic() + LIMIT
    while build.poll() is None and log.read_bytes().count(b" ... ") < tasks:
        time.sleep(0.002)
        if time.monotonic() > until:
            raise subprocess.TimeoutExpired(COMMAND, LIMIT)
    time.sleep(chance.expovariate(10) if tasks else chance.uniform(0, 1))
    runs = _runs(workspace)
    if case.how == "kill":
        build.kill()
    else:
        number = chance.choice(SIGNALS)
        build.send_signal(number)
        if chance.random() < TWICE:
            time.sleep(chance.choice([0, 0.002, 0.05, 0.2]))
            build.send_signal(number)
    build.wait(LIMIT)
    return runs | _runs(workspace)


def _runs(workspace: Path) -> set[str]:
    """The runs of builds that have a record, but for that of the neighbour."""
    found = {match[1] for match in map(NAME.fullmatch, os.listdir(workspace)) if match}
    return found - {NEIGHBOUR}


def _clean(workspace: Path, chance: random.Random, log: Path) -> list[str]:
    """Clean after a build that was killed, and after a cleaner that was; what went wrong."""
    if chance.random() < CLEAN_TWICE:
        first = _start(log, "clean", str(workspace))
        with contextlib.suppress(subprocess.TimeoutExpired):
            first.wait(chance.uniform(0.1, 0.6))
        first.kill()
        first.wait()
    status = _start(log, "clean", str(workspace)).wait(LIMIT)
    return [f"clean: status {status}: {log.read_text()}"] if status else []


def _wrong_with(image: Path, log: Path) -> list[str]:
    """Return the faults of a finished image."""
    _start(log, "sparsify", "--json", "--verify", str(image)).wait(LIMIT)
    said = log.read_text()
    return [] if "ext4 checks clean" in said else [f"{image.name} is not whole: {said}"]


def _left(workspace: Path, runs: set[str]) -> list[str]:
    """All that there is of builds in the workspace, but for the neighbour's."""
    beside = str(workspace / NEIGHBOUR)
    used = [*leftovers.mounts(workspace), *_devices(workspace), *_programs(workspace)]
    files = [path for path in workspace.iterdir() if NEIGHBOUR not in path.name]
    in_dev = [path for name in runs for path in loop_partitions.device_links(name)]
    return [*(one for one in used if beside not in one), *map(str, files), *map(str, in_dev)]


def _devices(workspace: Path) -> list[str]:
    return [
        f"{device} on {backing}"
        for device, backing in leftovers.loop.attached()
        if backing.startswith(f"{workspace}/")
    ]


def _programs(workspace: Path) -> list[str]:
    """Programs that a build in the workspace has started."""
    mark, found = os.fsencode(f"{leftovers.MARK}={workspace}/"), []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for variable in (path / "environ").read_bytes().split(b"\0"):
                if variable.startswith(mark):
                    found.append(
                        f"{path.name} {(path / 'comm').read_text().strip()} of {variable!r}"
                    )
    return found


NEIGHBOUR = f"{os.getpid():08x}"  # the run of a build that goes on all the while


@contextlib.contextmanager
def _neighbour(workspace: Path) -> Iterator[Any]:
    """A build that goes on, and somebody's files; a function that names what is lost of them."""
    record, folder = Record(workspace / NEIGHBOUR), workspace / NEIGHBOUR
    record.begin()
    folder.mkdir()
    files = [folder / "volume.raw", workspace / f"{NEIGHBOUR}.raw", folder / "file"]
    for file in files:
        file.write_bytes(bytes(1 << 16))
    node, link = loop_partitions.NODES / f"{NEIGHBOUR}-1", loop_partitions.LINKS / f"of-{NEIGHBOUR}"
    for path in (node, link):
        path.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, leftovers.MARK: str(folder)}
    with contextlib.ExitStack() as stack:
        stack.callback(record.close)
        files.append(stack.enter_context(temporary(files[1])).path)
        stack.callback(shutil.rmtree, folder)
        stack.callback(loop_partitions.delete_device_links, NEIGHBOUR)
        os.mknod(node, stat.S_IFBLK | 0o600, os.makedev(7, 0))
        link.symlink_to(node)
        devices = [stack.enter_context(attached(file)) for file in files[:2]]
        mount = stack.enter_context(mounted("tmpfs", folder, 1 << 20))
        program = stack.enter_context(subprocess.Popen(["sleep", "infinity"], env=environment))
        stack.callback(program.kill)

        def lost() -> Iterator[str]:
            yield from (f"{file} is gone" for file in files if not file.is_file())
            here = [node, link, path_of(folder)]
            yield from (f"{path} is gone" for path in here if not os.path.lexists(path))
            there = dict(leftovers.loop.attached())
            yield from (f"{device} is detached" for device in devices if device not in there)
            if not os.path.ismount(mount):
                yield f"{mount} is unmounted"
            if program.poll() is not None:
                yield "its program was ended"

        yield lost
