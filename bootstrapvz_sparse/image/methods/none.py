"""Free only the blocks that no filesystem uses; blocks of zeros stay allocated."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..holes import punch_all
from .job import Job, Method, long_enough
from .punch import no_punching


@contextmanager
def apply(job: Job) -> Iterator[int]:
    fd = job.image.fd
    punch_all(fd, long_enough(job.survey.freeable, job), job.image.watch)
    os.fsync(fd)
    yield fd


NONE = Method(
    "none",
    "only free the blocks that the filesystems do not use; data is not read",
    no_punching,
    apply,
    in_place=True,
    honours_min_hole=True,
)
