"""A sparse copy by qemu-img(1), in place of the image."""

from __future__ import annotations

from contextlib import AbstractContextManager

from ..access import lend
from ..replace import no_holes, no_room, size_of_copy
from .external import copied, program_missing
from .job import Job, Method

SMALLEST_HOLE = "4k"


def lacks(job: Job) -> str | None:
    if reason := no_holes(job):
        return reason
    if job.image.size % 512:
        return "qemu-img would round the size of the image up to whole sectors"
    return program_missing("qemu-img") or no_room(job.image, size_of_copy(job))


def apply(job: Job) -> AbstractContextManager[int]:
    lend(job.image)
    options = ("convert", "-f", "raw", "-O", "raw", "-S", SMALLEST_HOLE)
    # without the hint xfs allocates whole MiB
    return copied(job, "qemu-img", *options, "-o", "extent_size_hint=0")


METHOD = Method("qemu-img", lacks, apply)
