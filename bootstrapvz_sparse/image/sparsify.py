"""Make an image as sparse as it can be: survey, scan, punch, verify."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from . import programs
from .access import Image, opened
from .extents import allocated
from .methods import Job, choose
from .prepare import capabilities, prepare
from .report import human
from .scan import Progress, Scan
from .survey import Plan
from .verify import Changed, Digest, check, compare

SLACK = 16 << 20  # bytes that others may write or free meanwhile


class Report(NamedTuple):
    """What was done to an image, or would be; sizes in bytes.

    ``method`` is "" after a dry run; ``after`` is then what would be left. ``gained`` is what the
    filesystem below has more of free space. ``plan`` has the details; nobody has looked for zeros
    where ``scanned`` is false. ``verified`` tells what was proved. ``notes``: what was left alone,
    and why.
    """

    path: Path
    method: str
    before: int
    after: int
    gained: int
    seconds: float
    plan: Plan
    scanned: bool
    verified: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def apparent(self) -> int:
        """The size of the image in bytes."""
        return self.plan.survey.size


def sparsify(
    path: Path,
    *,
    method: str = "auto",
    reclaim: str = "auto",
    min_hole: int = 0,
    command: Sequence[str] = (),
    verify: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Free every block of the image at ``path`` that needs no disk space.

    That is: what its filesystems do not need, as far as ``reclaim`` goes; blocks that hold only
    zeros; and what was allocated without ever having been written. ``method`` is one of
    :data:`.methods.METHODS` or ``auto``. Holes of fewer than ``min_hole`` bytes are not punched.
    ``verify`` proves that no byte in use changed; ``dry_run`` changes nothing.

    Can be interrupted at any point: each step leaves a valid image.

    :raises Refused: somebody else uses the image, or the method cannot be used
    :raises NotSupported: no method can make files sparse where the image lies
    :raises Changed: verification failed
    :raises OSError: the image cannot be read or written
    """
    started = time.perf_counter()
    with opened(path, write=not dry_run) as image:
        os.fsync(image.fd)
        before, room = allocated(os.fstat(image.fd)), _room(image.path)
        can = None if dry_run else capabilities(image)
        found = prepare(image, reclaim, can, verify=verify)
        scan = Scan(found, progress, Digest() if verify else None)
        verified: list[str] = []
        name = ""
        if can is None:
            scan(image.fd)
        else:
            job = Job(image, found, can, scan, min_hole=min_hole, command=tuple(command))
            chosen = choose(method, job)
            name = chosen.name
            if verify and not chosen.scans:
                scan(image.fd)
            with chosen.apply(job) as result:
                if verify:
                    verified = _verify(image, result, scan, mounted=chosen.mounts)
    plan = Plan(found, scan.zero)
    after = before - plan.gain if dry_run else allocated(os.stat(image.path))
    return Report(
        path=image.path,
        method=name,
        before=before,
        after=after,
        gained=0 if dry_run else _gained(image, room, before - after),
        seconds=time.perf_counter() - started,
        plan=plan,
        scanned=scan.done,
        verified=tuple(verified),
        notes=tuple(image.notes),
    )


def _room(path: Path) -> int:
    status = os.statvfs(path)
    return status.f_bfree * status.f_frsize


def _gained(image: Image, room: int, freed: int) -> int:
    """What the filesystem below has more of free space since it had ``room``."""
    gained = _room(image.path) - room  # a replaced image is gone only once it is closed
    if gained < freed - SLACK:
        os.sync()  # btrfs frees blocks when a transaction ends
        gained = _room(image.path) - room
    if gained < freed - SLACK:
        image.notes.append(
            f"{human(freed)} were freed, and the disk has {human(max(gained, 0))} more: other "
            "files share blocks with the image or grow, or it frees whole extents only, as btrfs"
        )
    return gained


def _verify(image: Image, fd: int, scan: Scan, *, mounted: bool) -> list[str]:
    """Prove that the file ``fd`` holds what the image held; what was proved, in words.

    :raises Changed: it does not
    """
    verified = []
    if mounted:
        image.notes.append("bytes in use were not compared: the method mounts the filesystems")
    else:
        assert scan.digest
        compare(fd, scan.survey, scan.digest)
        verified.append("the bytes in use are what they were")
    for region in scan.survey.regions:
        if region.trouble:
            continue
        try:
            wrong = check(image, fd, region.partition)
        except programs.Missing as reason:
            image.notes.append(f"{region.partition}: not checked: {reason}")
            continue
        if wrong:
            raise Changed(f"{region.partition}: {wrong}")
        verified.append(f"{region.partition}: {region.partition.filesystem} checks clean")
    return verified
