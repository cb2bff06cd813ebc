"""Images copied while their guest runs: after the sparsifying they recover to the same files.

The guests are a mounted loop device that is written to, and a machine in QEMU that writes to its
disks. Each copy is recovered by the kernel, as it is and made sparse, and their files are compared.
The swap partition beside the filesystem may not change where the filesystem needs recovery.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bootstrapvz_sparse.image import sparsify
from bootstrapvz_sparse.util.errors import SparseError

from . import guest_machine, oracle
from .makers import ENVIRONMENT, MIB
from .memory import memory
from .parts import Job, Tally
from .signatures import differences

COPIES = 30  # of each filesystem, mounted and in the machine
START, SIZE, SWAP = 1 * MIB, 128 * MIB, 4 * MIB
KINDS = {
    "ext4": ("mkfs.ext4", "-q", "-F"),
    "xfs": ("mkfs.xfs", "-q", "-f"),
    "btrfs": ("mkfs.btrfs", "-q", "-f", "-M"),
}
OPTIONS = {"xfs": ",nouuid"}


def run(job: Job, tally: Tally) -> None:
    if os.geteuid() != 0:
        tally.remarks.append("guests: needs root")
        return
    known = Path("/proc/filesystems").read_text().split()
    kinds = []
    for kind, command in KINDS.items():
        if kind not in known or not shutil.which(command[0]):
            tally.remarks.append(f"guests: {kind}: no driver, or no {command[0]}")
        else:
            kinds.append(kind)
    work = memory(job.folder) / f"torture-guests-{os.getpid()}"
    work.mkdir()
    try:
        disks = {kind: _disk(work / f"{kind}.raw", kind) for kind in kinds}
        for kind, disk in disks.items():
            copies = _copies_of_mounted(disk, kind, work, job)
            _judge_all(copies, kind, "mounted", work, tally)
        least = "the machine: from a share of 0.1 on" if job.share < 0.1 else ""
        if reason := least or guest_machine.skip_reason():
            tally.remarks.append(f"guests: {reason}")
            return
        disks = {kind: _disk(disk, kind) for kind, disk in disks.items()}
        chance = random.Random(job.seed)
        with guest_machine.running(work, disks) as console:
            copies = []
            for number in range(job.count(COPIES)):
                time.sleep(chance.random() * 2)
                for kind, disk in disks.items():
                    copies.append((kind, _copy(disk, work / f"copy-{kind}-{number}")))
            tally.outcomes["files written by the machine"] += console().count(".")
        for kind in disks:
            here = [copy for other, copy in copies if other == kind]
            _judge_all(here, kind, "machine", work, tally)
    finally:
        shutil.rmtree(work)


def _disk(path: Path, kind: str) -> Path:
    """Make a disk of the filesystem, of which the blocks hold what was there before, and swap."""
    junk = b"of an earlier file\n" * 27594
    with path.open("wb") as file:
        while file.tell() < START + SIZE + SWAP + MIB:
            file.write(junk[: 512 << 10])
        file.seek(0)
        file.write(bytes(START))
    size = path.stat().st_size
    lines = f"label: gpt\nstart={START // 512}, size={SIZE // 512}\nsize={SWAP // 512}\n"
    with path.open("r+b") as file:
        file.truncate(size - size % 512)
    subprocess.run(["sfdisk", "--quiet", path], input=lines, text=True, check=True)
    part = path.with_suffix(".part")
    for command, start, length in (
        (KINDS[kind], START, SIZE),
        (("mkswap",), START + SIZE, SWAP),
    ):
        with path.open("rb") as file:
            part.write_bytes(os.pread(file.fileno(), length, start))
        options = {"ext4": ["-E", "nodiscard"], "xfs": ["-K"], "btrfs": ["-K"]}
        words = [*command, *(options[kind] if start == START else [])]
        subprocess.run([*words, part], check=True, capture_output=True, env=ENVIRONMENT)
        with path.open("r+b") as file:
            os.pwrite(file.fileno(), part.read_bytes(), start)
    part.unlink()
    return path


@contextlib.contextmanager
def _mounted(image: Path, kind: str) -> Iterator[Path]:
    """Mount the first partition of the image.

    :raises CalledProcessError: the kernel cannot
    """
    point = image.with_suffix(".mounted")
    point.mkdir()
    options = f"loop,offset={START},sizelimit={SIZE}{OPTIONS.get(kind, '')}"
    try:
        subprocess.run(
            ["mount", "-t", kind, "-o", options, image, point], check=True, capture_output=True
        )
        try:
            yield point
        finally:
            subprocess.run(["umount", point], check=True, capture_output=True)
    finally:
        point.rmdir()


def _copies_of_mounted(disk: Path, kind: str, work: Path, job: Job) -> list[Path]:
    """Return copies of the disk at random moments while files are written to it."""
    chance, stop = random.Random(f"{job.seed} {kind}"), threading.Event()
    copies = []
    with _mounted(disk, kind) as point:
        writer = threading.Thread(target=_write, args=(point, random.Random(job.seed), stop))
        writer.start()
        try:
            for number in range(job.count(COPIES)):
                time.sleep(chance.random() * 0.5)
                copies.append(_copy(disk, work / f"copy-{kind}-{number}"))
        finally:
            stop.set()
            writer.join()
    return copies


def _write(point: Path, chance: random.Random, stop: threading.Event) -> None:
    """Write, rename and delete files until ``stop``."""
    while not stop.is_set():
        path = point / f"f{chance.randrange(60)}"
        with contextlib.suppress(OSError), path.open("wb") as file:  # a full filesystem
            file.write(chance.randbytes(chance.randrange(1, 600_000)))
            if chance.random() < 0.3:
                file.flush()
                os.fsync(file.fileno())
        with contextlib.suppress(OSError):
            (point / f"f{chance.randrange(60)}").unlink()
        with contextlib.suppress(OSError):
            os.rename(path, point / f"f{chance.randrange(60)}")
        if chance.random() < 0.05:
            os.sync()


def _copy(disk: Path, path: Path) -> Path:
    subprocess.run(["cp", "--sparse=never", "--reflink=never", disk, path], check=True)
    return path


def _judge_all(copies: list[Path], kind: str, guest: str, work: Path, tally: Tally) -> None:
    for copy in copies:
        tally.tried["images"] += 1
        what, wrong = _judge(copy, kind, work)
        tally.outcomes[f"{kind}, {guest}: {what}"] += 1
        if wrong:
            tally.lost += 1
            tally.failures.append(f"guests: {kind}, {guest}, {copy.name}: {wrong}")
        copy.unlink()


def _judge(copy: Path, kind: str, work: Path) -> tuple[str, str]:
    """Return what the product did, and what differs afterwards."""
    sparse, part = work / "sparse", work / "part"
    try:
        _copy(copy, sparse)
        try:
            sparsify(sparse, method="punch", verify=True)
        except SparseError as error:
            return f"refused: {type(error).__name__}", str(error)
        freed = "free blocks freed" if differences(copy, sparse) else "only zeros freed"
        with copy.open("rb") as file:
            part.write_bytes(os.pread(file.fileno(), SIZE, START))
        dirty = kind in ("ext4", "xfs") and oracle.pending(part, "ext" if kind == "ext4" else kind)
        if dirty and _swap(copy) != _swap(sparse):
            return "swap", "swap of a running guest changed"
        first, second = _files(copy, kind), _files(sparse, kind)
        files = f"{'some' if first else 'no'} files recovered" if first is not None else "torn"
        what = f"{files}, {freed}"
        return what, "" if first == second else "other files were recovered"
    finally:
        sparse.unlink(missing_ok=True)
        part.unlink(missing_ok=True)


def _swap(image: Path) -> bytes:
    with image.open("rb") as file:
        return os.pread(file.fileno(), SWAP, START + SIZE)


def _files(image: Path, kind: str) -> dict[str, str] | None:
    """Return the files of the recovered filesystem, None where the kernel cannot mount it."""
    found = {}
    try:
        with _mounted(image, kind) as point:
            for path in sorted(point.rglob("*")):
                try:
                    content = path.read_bytes() if path.is_file() else b""
                except OSError as error:
                    content = str(error.errno).encode()
                found[str(path.relative_to(point))] = hashlib.sha256(content).hexdigest()
    except subprocess.CalledProcessError as error:
        if error.cmd[0] == "umount":
            raise
        return None
    return found
