"""Replace the image by a sparse copy that qemu-img(1) makes."""

from __future__ import annotations

from contextlib import AbstractContextManager

from ..access import release_lock
from .external import copied, program_missing
from .job import Job, Method
from .room import copy_size, no_holes, no_room

SMALLEST_HOLE = "4k"


def unsupported_reason(job: Job) -> str:
    if reason := no_holes(job):
        return reason
    if job.image.size % 512:
        return "the image is not a whole number of 512-byte sectors; qemu-img would round it up"
    return program_missing("qemu-img") or no_room(job.image, copy_size(job))


def apply(job: Job) -> AbstractContextManager[int]:
    release_lock(job.image)
    options = ("convert", "-f", "raw", "-O", "raw", "-S", SMALLEST_HOLE)
    # without the hint xfs allocates whole MiB
    return copied(job, "qemu-img", *options, "-o", "extent_size_hint=0")


QEMU_IMG = Method(
    "qemu-img",
    "a second file by qemu-img convert, which replaces the image",
    unsupported_reason,
    apply,
    programs=("qemu-img",),
)
