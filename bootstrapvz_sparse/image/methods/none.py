"""Only what nobody needs is freed; blocks of zeros stay as they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..holes import punch_all
from .job import Job, Method, worth_punching
from .punch import lacks


@contextmanager
def apply(job: Job) -> Iterator[int]:
    fd = job.image.fd
    punch_all(fd, worth_punching(job.survey.whole_blocks_unneeded, job), job.image.watch)
    os.fsync(fd)
    yield fd


METHOD = Method("none", lacks, apply)
