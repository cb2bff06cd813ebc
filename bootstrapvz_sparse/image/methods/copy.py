"""Replace the image by a sparse copy that GNU cp makes."""

from __future__ import annotations

from contextlib import AbstractContextManager

from .external import copied, program_missing
from .job import Job, Method
from .room import copy_size, no_holes, no_room


def unsupported_reason(job: Job) -> str:
    return no_holes(job) or program_missing("cp") or no_room(job.image, copy_size(job))


def apply(job: Job) -> AbstractContextManager[int]:
    # without --reflink=never cp clones where it can, and then makes nothing sparse
    return copied(job, "cp", "--sparse=always", "--reflink=never", "--")


COPY = Method(
    "copy",
    "a second file by cp --sparse=always, which replaces the image",
    unsupported_reason,
    apply,
    programs=("cp",),
)
