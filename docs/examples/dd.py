"""A sparse copy by GNU dd, in place of the image."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from bootstrapvz_sparse.image import programs
from bootstrapvz_sparse.image.methods.job import Job, Method
from bootstrapvz_sparse.image.methods.outside import lacks_program, run
from bootstrapvz_sparse.image.methods.reclaim import reclaim
from bootstrapvz_sparse.image.methods.second import (
    lacks_holes,
    lacks_room,
    second_file,
    size_of_copy,
)


def lacks(job: Job) -> str | None:
    return lacks_holes(job) or lacks_program("dd") or lacks_room(job.image, size_of_copy(job))


@contextmanager
def apply(job: Job) -> Iterator[int]:
    reclaim(job)
    image = job.image.fd
    with second_file(job.image) as file:
        source, copy = programs.same_file(image), programs.same_file(file.fd)
        options = ("bs=4096", "conv=sparse", "status=none")
        run("dd", f"if={source}", f"of={copy}", *options, fds=[image, file.fd])
        os.ftruncate(file.fd, job.image.size)  # where it ends in a hole
        yield file.fd


METHOD = Method("dd", lacks, apply)
