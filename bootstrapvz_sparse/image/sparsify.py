"""Make an image as sparse as it can be: survey, scan, punch, verify."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..util.errors import ProgramMissing, VerificationFailed
from ..util.temporary import remove_stale
from ..util.text import human
from .access import Image, opened, recheck
from .extents import allocated, intersection, total
from .methods import Job, choose
from .reclaim import capabilities, discard_free, prepare
from .scan import Progress, Scan
from .survey import Plan
from .verify import Digest, check, compare


class Report(NamedTuple):
    """What was done to an image, or would be; sizes in bytes.

    ``method`` is "" after a dry run; ``after`` is then what would be left. ``gained`` is what the
    filesystem below has more of free space: others write, too, and some tell it late. ``plan`` has
    the details; nobody has looked for zeros where ``scanned`` is false. ``verified`` tells what was
    proved. ``notes``: what was left alone, and why.
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
    :raises Unsupported: no method can make files sparse where the image lies
    :raises VerificationFailed: verification failed
    :raises OSError: the image cannot be read or written
    """
    started = time.perf_counter()
    with opened(path, write=not dry_run) as image:
        if not dry_run:
            for stale in remove_stale(image.path):
                image.notes.append(f"{stale.name} is removed: a run that was killed has left it")
        os.fsync(image.fd)
        before, room = allocated(os.fstat(image.fd)), _room(image.path)
        found = prepare(image, reclaim)
        verified: list[str] = []
        if dry_run:
            name = ""
            found = discard_free(image, found, reclaim, None)
            scan = Scan(found, progress)
            scan(image.fd)
        else:
            recheck(image, unwritten=True)  # what was surveyed is what is there
            can = capabilities(image)
            job = Job(image, found, can, Scan(found), min_hole, tuple(command))
            chosen = choose(method, job)  # before anything is changed
            name = chosen.name
            found = discard_free(image, found, reclaim, can)
            scan = Scan(found, progress, Digest() if verify else None)
            if verify and not chosen.scans:
                scan(image.fd)
            with chosen.apply(job._replace(survey=found, scan=scan)) as result:
                if verify:
                    verified = _verify(image, result, scan, mounted=chosen.mounts)
                recheck(image)
    plan = Plan(found, scan.zero)
    after = before - plan.gain if dry_run else allocated(os.stat(image.path))
    if kept := total(intersection(found.shared, plan.holes)):
        image.notes.append(f"{human(kept)} of it stay on the disk: other files share the blocks")
    if note := _misaligned(plan):
        image.notes.append(note)
    return Report(
        path=image.path,
        method=name,
        before=before,
        after=after,
        gained=_room(image.path) - room,
        seconds=time.perf_counter() - started,
        plan=plan,
        scanned=scan.done,
        verified=tuple(verified),
        notes=tuple(image.notes),
    )


def _misaligned(plan: Plan) -> str | None:
    """What partitions that begin within a block cost, where that is over 1 % of the image."""
    survey = plan.survey
    astray = [r.partition for r in survey.regions if r.partition.start % survey.block]
    if not astray:
        return None
    unneeded = intersection(survey.data, survey.unneeded)
    lost = total(unneeded) - total(intersection(unneeded, plan.holes))
    if lost * 100 <= survey.size:
        return None
    return (
        f"{human(lost)} that nobody needs cannot become holes: {astray[0]} begins at byte "
        f"{astray[0].start}; one that begins at a multiple of 1 MiB loses nothing"
    )


def _room(path: Path) -> int:
    status = os.statvfs(path)
    return status.f_bfree * status.f_frsize


def _verify(image: Image, fd: int, scan: Scan, *, mounted: bool) -> list[str]:
    """Prove that the file ``fd`` holds what the image held; what was proved, in words.

    :raises VerificationFailed: it does not
    """
    verified = []
    if mounted:
        image.notes.append("bytes in use were not compared: the method mounts the filesystems")
    else:
        assert scan.digest
        compare(fd, scan.survey, scan.digest)
        verified.append("no byte in use has changed")
    for region in scan.survey.regions:
        if region.trouble or region.partition.boot_code or region.partition.filesystem == "swap":
            continue
        try:
            wrong = check(fd, region.partition)
        except ProgramMissing as reason:
            image.notes.append(f"{region.partition}: not checked: {reason}")
            continue
        if wrong:
            raise VerificationFailed(f"{region.partition}: {wrong}")
        verified.append(f"{region.partition}: {region.partition.filesystem} checks clean")
    return verified
