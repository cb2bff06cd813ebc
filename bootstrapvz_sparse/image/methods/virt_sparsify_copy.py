"""A sparse copy by virt-sparsify(1), in place of the image."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ...util.temporary import temporary_folder
from ..access import lend
from ..replace import no_holes, no_room, replacement_file
from .external import program_missing, run
from .free import reclaim
from .job import Job, Method


def lacks(job: Job) -> str | None:
    if reason := no_holes(job):
        return reason
    # it may fill all that is free with zeros before it copies
    return program_missing("virt-sparsify") or no_room(job.image, job.image.size)


@contextmanager
def apply(job: Job) -> Iterator[int]:
    reclaim(job)
    lend(job.image)
    # its own overlay goes with the folder even where it is killed
    with replacement_file(job.image) as file, temporary_folder(job.image.path) as space:
        run(
            "virt-sparsify",
            *("--quiet", "--format", "raw", "--convert", "raw"),
            *("--check-tmpdir", "fail", "--tmp", space),  # by default it asks whoever is there
            job.image.path,
            f"/proc/{os.getpid()}/fd/{file.fd}",  # what it starts does not inherit the file
        )
        yield file.fd


METHOD = Method("virt-sparsify-copy", lacks, apply, mounts=True)
