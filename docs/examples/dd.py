"""Replace the image by a sparse copy that GNU dd makes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from bootstrapvz_sparse.image.methods.external import program_missing
from bootstrapvz_sparse.image.methods.free import free_for_programs
from bootstrapvz_sparse.image.methods.job import Job, Method
from bootstrapvz_sparse.image.methods.room import copy_size, no_holes, no_room
from bootstrapvz_sparse.image.replace import replacement_file
from bootstrapvz_sparse.util import programs


def unsupported_reason(job: Job) -> str:
    return no_holes(job) or program_missing("dd") or no_room(job.image, copy_size(job))


@contextmanager
def apply(job: Job) -> Iterator[int]:
    free_for_programs(job)
    image = job.image.fd
    with replacement_file(job.image) as file:
        places = f"if={programs.same_file(image)}", f"of={programs.same_file(file.fd)}"
        options = ("bs=4096", "conv=sparse", "status=none")
        programs.run("dd", *places, *options, fds=[image, file.fd])
        os.ftruncate(file.fd, job.image.size)  # where the image ends in a hole
        yield file.fd


DD = Method(
    "dd",
    "a second file by dd conv=sparse, which replaces the image",
    unsupported_reason,
    apply,
    programs=("dd",),
)
