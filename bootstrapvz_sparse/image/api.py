"""The public API: plan what can be freed in an image, apply the plan, or both.

from bootstrapvz_sparse.image import sparsify

report = sparsify(Path("disk.raw"), verify=True)
print(report.before - report.after)
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..util.errors import ImageInUse
from ..util.temporary import remove_stale
from ..util.text import human
from .access import Image, opened, recheck
from .extents import allocated, intersection, total
from .formats import reject_foreign_format
from .methods import Job, choose
from .plans import Plan
from .reclaim import capabilities, discard_free, find_free, to_discard, would_discard
from .scan import Progress, Scan
from .survey import Survey
from .verify import Proof


class Report(NamedTuple):
    """The result of making an image sparse; sizes in bytes.

    ``method``: "" after a dry run; ``after`` is then the forecast. ``freed``: the disk space
    gained; less than ``before - after`` if other files share blocks or a lower layer of overlayfs
    keeps the image. ``gained``: the change in free space of the build filesystem, which other
    programs affect, too. ``plan``: the details. ``verified``: the proofs, as text. ``notes``:
    everything that was left alone.
    """

    path: Path
    method: str
    before: int
    after: int
    freed: int
    gained: int
    seconds: float
    plan: Plan
    verified: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def apparent(self) -> int:
        """The size of the image in bytes."""
        return self.plan.apparent

    @property
    def scanned(self) -> bool:
        """True if zero blocks were looked for."""
        return self.plan.scanned


def plan(path: Path, *, reclaim: str = "auto", progress: Progress | None = None) -> Plan:
    """Determine the space that can be freed in the image at ``path``; change nothing.

    ``reclaim`` is one of :data:`.reclaim.RECLAIM`.

    :raises InvalidImage: not a regular file, empty, not permitted, or not a raw image
    :raises OSError: the image cannot be read
    """
    with opened(path, write=False) as image:
        reject_foreign_format(image.map, path)
        os.fsync(image.fd)
        surveyed = would_discard(image, find_free(image, reclaim), reclaim)
        scan = Scan(surveyed, progress)
        scan(image.fd)
        return _plan(image, surveyed, scan)


inspect = plan


def apply(
    planned: Plan,
    *,
    method: str = "auto",
    min_hole: int = 0,
    command: Sequence[str] = (),
    verify: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Free the blocks named by ``planned``, in the image it was made from.

    :raises ImageInUse: the image was changed or replaced since then
    :raises SparseError, OSError: as :func:`sparsify`
    """
    with opened(planned.path) as image:
        old, new = planned.status, image.status
        if old is None or any(
            getattr(old, key) != getattr(new, key)
            for key in ("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
        ):
            raise ImageInUse(f"{planned.path}: changed since it was planned (plan it again)")
        image.notes += [note for note in planned.notes if note not in image.notes]
        work = _Work(image, method, "auto", min_hole, tuple(command), verify, progress)
        return work.apply(planned.survey)


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

    These are the free blocks of its filesystems, depending on ``reclaim``; blocks that hold only
    zeros; and blocks that were allocated without ever being written. ``method`` is one of
    :data:`.methods.METHODS` or ``auto``. Holes of fewer than ``min_hole`` bytes are not punched.
    ``verify`` proves that no byte in use has changed. ``dry_run`` only makes the plan.

    It can be interrupted at any point: each step leaves a valid image.

    :raises InvalidImage: not a regular file, empty, not permitted, or not a raw image
    :raises ImageInUse: another program uses the image
    :raises Unsupported: the method cannot be used, or no method can make files sparse there
    :raises ProgramMissing, ProgramFailed: an external program
    :raises VerificationFailed: a byte in use or the verdict of a checker changed
    :raises OSError: the image cannot be read or written
    """
    if dry_run:
        return _dry_run(path, reclaim, progress)
    with opened(path) as image:
        reject_foreign_format(image.map, path)
        for stale in remove_stale(image.path, image.folder):
            image.notes.append(f"{stale.name} was removed: a run that was killed left it behind")
        os.fsync(image.fd)
        work = _Work(image, method, reclaim, min_hole, tuple(command), verify, progress)
        return work.apply(find_free(image, reclaim))


def _dry_run(path: Path, reclaim: str, progress: Progress | None) -> Report:
    started = time.perf_counter()
    planned = plan(path, reclaim=reclaim, progress=progress)
    before = planned.survey.allocated
    return Report(
        path=planned.path,
        method="",
        before=before,
        after=before - planned.gain,
        freed=max(planned.gain - planned.shared, 0),
        gained=0,
        seconds=time.perf_counter() - started,
        plan=planned,
        verified=(),
        notes=planned.notes,
    )


class _Work(NamedTuple):
    """An open image, and the options for making it sparse."""

    image: Image
    method: str
    reclaim: str
    min_hole: int
    command: tuple[str, ...]
    verify: bool
    progress: Progress | None

    def apply(self, surveyed: Survey) -> Report:
        """Free the blocks named by ``surveyed``, and verify the result if asked to."""
        started = time.perf_counter()
        image = self.image
        before, room = allocated(os.fstat(image.fd)), _room(image)
        recheck(image, unwritten=True)  # the survey is still true
        can = capabilities(image)
        job = Job(image, surveyed, can, Scan(surveyed), self.min_hole, self.command)
        chosen = choose(self.method, job)  # before anything is changed
        proof = Proof(image, surveyed, to_discard(surveyed, self.reclaim)) if self.verify else None
        surveyed = discard_free(image, surveyed, self.reclaim, can)
        scan = Scan(surveyed, self.progress, proof.digest if proof else None)
        if proof:
            scan(image.fd)
        if surveyed.allocation.beyond or surveyed.allocation.unwritten is None:
            os.ftruncate(image.fd, image.size)  # frees the blocks behind the end
        verified: list[str] = []
        with chosen.apply(job._replace(survey=surveyed, scan=scan)) as result:
            if proof:
                verified = proof.verify(result, mounted=chosen.mounts)
            recheck(image)
        if image.layered:
            image.notes.append(
                "the image was in a lower layer of overlayfs, which keeps its blocks; the upper "
                "layer now has a sparse copy"
            )
        planned = _plan(image, surveyed, scan)
        after = allocated(os.stat(image.path))
        return Report(
            path=image.path,
            method=chosen.name,
            before=before,
            after=after,
            freed=0 if image.layered else max(before - after - planned.shared, 0),
            gained=_room(image) - room,
            seconds=time.perf_counter() - started,
            plan=planned,
            verified=tuple(verified),
            notes=planned.notes,
        )


def _plan(image: Image, surveyed: Survey, scan: Scan) -> Plan:
    planned = Plan(surveyed, scan.zero, path=image.path, status=image.status, scanned=scan.done)
    if planned.shared:
        image.notes.append(
            f"{human(planned.shared)} cannot be freed because other files share those blocks "
            "(reflink or snapshot)"
        )
    if note := _misaligned(planned):
        image.notes.append(note)
    planned.notes = tuple(image.notes)
    return planned


def _misaligned(planned: Plan) -> str:
    """Return the cost of partitions that start off the block grid, where it is over 1 %."""
    survey = planned.survey
    astray = [r.partition for r in survey.regions if r.partition.start % survey.block]
    if not astray:
        return ""
    free = intersection(survey.data, survey.free)
    lost = total(free) - total(intersection(free, planned.holes))
    if lost * 100 <= survey.size:
        return ""
    return (
        f"{human(lost)} of unused space cannot be punched: {astray[0]} starts at byte "
        f"{astray[0].start}, off the block grid (align partitions to 1 MiB)"
    )


def _room(image: Image) -> int:
    status = os.fstatvfs(image.fd)
    return status.f_bfree * status.f_frsize
