"""Proof that nothing in use changed: digests, and the filesystems' own checkers, read-only."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..util import loop, programs
from ..util.errors import ProgramMissing, VerificationFailed
from .extents import (
    complement,
    data,
    difference,
    intersection,
    total,
    union,
)
from .partitions import Partition
from .survey import Survey
from .zeros import zero_blocks


class Digest:
    """SHA-256 of all that was read, in order."""

    def __init__(self) -> None:
        import hashlib  # loads OpenSSL, which few runs need

        self._hash = hashlib.sha256()
        self.update = self._hash.update

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digest) and self._hash.digest() == other._hash.digest()

    __hash__ = None  # type: ignore[assignment]


def compare(fd: int, survey: Survey, before: Digest) -> None:
    """Read once more what was in use, now from the file ``fd``.

    :raises VerificationFailed: something differs from ``before``, or is not zero any more
    :raises OSError: the file cannot be read
    """
    size = os.fstat(fd).st_size
    if size != survey.size:
        raise VerificationFailed(f"its size was {survey.size} bytes and is {size}")
    after = Digest()
    for _ in zero_blocks(fd, survey.to_read, survey.block, survey.blank, seen=after.update):
        pass
    if after != before:
        raise VerificationFailed("a byte in use changed")
    were_holes = difference(complement(survey.data, size), survey.unneeded)
    filled = intersection(were_holes, data(fd, size))
    if total(union(zero_blocks(fd, filled, survey.block))) != total(filled):
        raise VerificationFailed("a hole is no hole any more")


def check(fd: int, partition: Partition) -> str | None:
    """What the checker of the partition's filesystem finds wrong in the file ``fd``, in a line.

    None when it finds nothing. e2fsck(8), xfs_repair(8), btrfs-check(8), all read-only.

    :raises ProgramMissing: the checker is not installed, or cannot be run on a partition
    """
    kind, start = partition.filesystem, partition.start
    path = programs.same_file(fd)
    if kind in ("ext2", "ext3", "ext4"):
        done = programs.run("e2fsck", "-f", "-n", f"{path}?offset={start}", fds=[fd])
        return _complaint("e2fsck", done)
    command = {"xfs": ("xfs_repair", "-n"), "btrfs": ("btrfs", "check", "--readonly")}.get(kind)
    if command is None:
        raise ProgramMissing(f"there is no checker for {kind or 'what is unknown'}")
    if partition.number == 0:
        done = _run(command, path, fds=[fd])
    else:
        with _read_only_loop(fd, partition) as device:
            done = _run(command, device)
    return _complaint(command[0], done)


def _run(
    command: tuple[str, ...], path: str, fds: Sequence[int] = ()
) -> subprocess.CompletedProcess[str]:
    done = programs.run(*command, path, fds=fds)
    if "Only one AG detected" in done.stderr:  # there is no second superblock to compare with
        done = programs.run(*command, "-o", "force_geometry", path, fds=fds)
    return done


# How lines begin that only tell what is looked at.
STEPS = (
    *("Pass ", "Phase ", "        - "),
    *("Cannot get host filesystem geometry", "Repair may fail if", "the image and the host file"),
    *("Opening ", "Checking ", "UUID: ", "["),
)


def _complaint(program: str, done: subprocess.CompletedProcess[str]) -> str | None:
    """The first thing that a checker has found, if any: what follows is a consequence, often."""
    if done.returncode == 0:
        return None
    lines = (done.stdout + done.stderr).splitlines()
    found = [line.strip() for line in lines if line.strip() and not line.startswith(STEPS)]
    return f"{program}: {found[0] if found else f'ended with status {done.returncode}'}"


@contextmanager
def _read_only_loop(fd: int, partition: Partition) -> Iterator[str]:
    if os.geteuid() != 0:
        raise ProgramMissing("checking a partition of this type needs root")
    done = programs.run(
        "losetup",
        *("--find", "--show", "--read-only", "--offset", str(partition.start)),
        *("--sizelimit", str(partition.end - partition.start)),
        programs.same_file(fd),
        fds=[fd],
    )
    if done.returncode:
        raise ProgramMissing(f"losetup: {programs.last_line(done.stderr)}")
    device = done.stdout.strip()
    try:
        yield device
    finally:
        programs.run("losetup", "--detach", device)
        loop.wait_until_detached(fd)
