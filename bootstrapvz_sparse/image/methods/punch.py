"""Punch holes into the image itself, without a second copy; the image stays valid throughout."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..extents import difference, union
from ..holes import punch_all, punching
from .job import Job, Method, long_enough


def no_punching(job: Job) -> str:
    """Return why holes cannot be punched; "" if they can."""
    return "" if job.capabilities.punch else "the build filesystem cannot punch holes into files"


@contextmanager
def apply(job: Job) -> Iterator[int]:
    punch_file(job.image.fd, job)
    yield job.image.fd


def punch_file(fd: int, job: Job) -> None:
    """Punch all unneeded blocks of the file ``fd``, which is the job's image or a clone of it.

    :raises OSError: it cannot be read or written
    """
    freeable = long_enough(job.survey.freeable, job)
    if job.scan.done:
        punch_all(fd, freeable, job.image.watch)
    else:
        with punching(fd, freeable, job.image.watch):  # the scan reads other blocks meanwhile
            job.scan(job.image.fd)  # not the clone, which verification compares with it
    everything = union(job.survey.freeable, job.scan.zero)
    punch_all(fd, difference(long_enough(everything, job), freeable), job.image.watch)
    os.fsync(fd)


PUNCH = Method(
    "punch",
    "punch holes into the image itself (FALLOC_FL_PUNCH_HOLE)",
    no_punching,
    apply,
    in_place=True,
    honours_min_hole=True,
    scans=True,
)
