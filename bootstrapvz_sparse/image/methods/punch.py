"""Holes punched into the image itself: no second copy, and valid at every moment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..extents import difference, union
from ..holes import punch_all, punching
from .job import Job, Method, worth_punching


def lacks(job: Job) -> str | None:
    return None if job.can.punch else "holes cannot be punched into files here"


@contextmanager
def apply(job: Job) -> Iterator[int]:
    punch_file(job.image.fd, job)
    yield job.image.fd


def punch_file(fd: int, job: Job) -> None:
    """Punch what needs no space in the file ``fd``: the job's image, or a copy of it.

    :raises OSError: it cannot be read or written
    """
    known = worth_punching(job.survey.whole_blocks_unneeded, job)
    with punching(fd, known, job.image.watch):  # reading goes on meanwhile, in other blocks
        zero = job.scan(job.image.fd)  # not a copy, which is to be proved the same
    everything = union(job.survey.whole_blocks_unneeded, zero)
    punch_all(fd, difference(worth_punching(everything, job), known), job.image.watch)
    os.fsync(fd)


METHOD = Method("punch", lacks, apply, scans=True)
