"""Make free blocks read as zeros before an external program runs."""

from __future__ import annotations

import os

from ..extents import Ranges, difference, intersection, union
from ..holes import punch_all
from ..zeros import zero_blocks
from .job import Job

CHUNK_SIZE = 1 << 20


def free_for_programs(job: Job) -> None:
    """Make the free space of the image read as zeros, by holes or else by writing zeros.

    :raises OSError: the image cannot be read or written
    """
    fd, survey = job.image.fd, job.survey
    if job.capabilities.punch:
        # the kernel zeroes the parts of blocks at the ends
        punch_all(fd, survey.free, job.image.watch)
    else:
        _write_zeros(fd, intersection(survey.free, survey.data), survey.block)
    os.fsync(fd)


def _write_zeros(fd: int, ranges: Ranges, block: int) -> None:
    zeros = bytes(CHUNK_SIZE)
    for start, end in ranges:
        zero_already = union(zero_blocks(fd, [(start, end)], block))
        for first, last in difference([(start, end)], zero_already):
            for position in range(first, last, CHUNK_SIZE):
                os.pwrite(fd, zeros[: min(CHUNK_SIZE, last - position)], position)
