"""In place, by fallocate(1) of util-linux."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...util import programs
from .external import program_missing, run
from .free import reclaim
from .job import Job, Method
from .punch import lacks as no_punching


def lacks(job: Job) -> str | None:
    return no_punching(job) or program_missing("fallocate")


@contextmanager
def apply(job: Job) -> Iterator[int]:
    reclaim(job)
    image = programs.same_file(job.image.fd)
    run("fallocate", "--dig-holes", image, fds=[job.image.fd])
    yield job.image.fd


METHOD = Method("dig-holes", lacks, apply)
