"""A sparse copy by GNU dd, in place of the image."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from bootstrapvz_sparse.image.methods.external import program_missing, run
from bootstrapvz_sparse.image.methods.free import reclaim
from bootstrapvz_sparse.image.methods.job import Job, Method
from bootstrapvz_sparse.image.replace import (
    no_holes,
    no_room,
    replacement_file,
    size_of_copy,
)
from bootstrapvz_sparse.util import programs


def lacks(job: Job) -> str | None:
    return no_holes(job) or program_missing("dd") or no_room(job.image, size_of_copy(job))


@contextmanager
def apply(job: Job) -> Iterator[int]:
    reclaim(job)
    image = job.image.fd
    with replacement_file(job.image) as file:
        source, copy = programs.same_file(image), programs.same_file(file.fd)
        options = ("bs=4096", "conv=sparse", "status=none")
        run("dd", f"if={source}", f"of={copy}", *options, fds=[image, file.fd])
        os.ftruncate(file.fd, job.image.size)  # where it ends in a hole
        yield file.fd


METHOD = Method("dd", lacks, apply)
