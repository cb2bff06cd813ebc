"""A clone of the image, punched, in place of the image: the original is not touched until then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...util import programs
from ..replace import no_room, replacement_file
from .external import program_missing, run
from .job import Job, Method
from .punch import lacks as no_punching
from .punch import punch_file


def lacks(job: Job) -> str | None:
    if not job.can.clone:
        return "files cannot be cloned here"
    return no_punching(job) or program_missing("cp") or no_room(job.image, 0)


@contextmanager
def apply(job: Job) -> Iterator[int]:
    image = job.image.fd
    with replacement_file(job.image) as file:
        places = programs.same_file(image), programs.same_file(file.fd)
        run("cp", "--reflink=always", "--", *places, fds=[image, file.fd])
        punch_file(file.fd, job)
        yield file.fd


METHOD = Method("reflink", lacks, apply, scans=True)
