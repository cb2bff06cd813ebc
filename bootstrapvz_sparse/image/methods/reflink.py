"""Replace the image by a punched clone; the original is untouched until then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...util import programs
from ..replace import replacement_file
from .external import program_missing
from .job import Job, Method
from .punch import no_punching, punch_file
from .room import no_room


def unsupported_reason(job: Job) -> str:
    if not job.capabilities.clone:
        return "the build filesystem cannot clone files"
    return no_punching(job) or program_missing("cp") or no_room(job.image, 0)


@contextmanager
def apply(job: Job) -> Iterator[int]:
    image = job.image.fd
    with replacement_file(job.image) as file:
        places = programs.same_file(image), programs.same_file(file.fd)
        programs.run("cp", "--reflink=always", "--", *places, fds=[image, file.fd])
        punch_file(file.fd, job)
        yield file.fd


REFLINK = Method(
    "reflink",
    "a punched clone (cp --reflink=always), which replaces the image",
    unsupported_reason,
    apply,
    programs=("cp",),
    honours_min_hole=True,
    scans=True,
)
