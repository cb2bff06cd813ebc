"""In place, by a program that the user names, such as cheater's ``sparsify IMAGE``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..access import lend
from .external import program_missing, run
from .free import reclaim
from .job import Job, Method


def lacks(job: Job) -> str | None:
    if not job.command:
        return "no command is named"
    return program_missing(job.command[0])


@contextmanager
def apply(job: Job) -> Iterator[int]:
    reclaim(job)
    lend(job.image)
    run(*job.command, job.image.path)
    yield job.image.fd


METHOD = Method("command", lacks, apply)
