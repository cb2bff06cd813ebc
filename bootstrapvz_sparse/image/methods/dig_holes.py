"""In place, by fallocate(1) of util-linux."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .. import programs
from .job import Job, Method
from .outside import lacks_program, run
from .punch import lacks as lacks_punching
from .reclaim import reclaim


def lacks(job: Job) -> str | None:
    return lacks_punching(job) or lacks_program("fallocate")


@contextmanager
def apply(job: Job) -> Iterator[int]:
    reclaim(job)
    image = programs.same_file(job.image.fd)
    run("fallocate", "--dig-holes", image, fds=[job.image.fd])
    yield job.image.fd


METHOD = Method("dig-holes", lacks, apply)
