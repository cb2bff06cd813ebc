"""In place, by virt-sparsify(1) of libguestfs, which starts a small virtual machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..access import lend
from .external import program_missing, run
from .free import reclaim
from .job import Job, Method
from .punch import lacks as no_punching


def lacks(job: Job) -> str | None:
    return no_punching(job) or program_missing("virt-sparsify")


@contextmanager
def apply(job: Job) -> Iterator[int]:
    reclaim(job)
    lend(job.image)
    run("virt-sparsify", "--quiet", "--in-place", "--format", "raw", job.image.path)
    yield job.image.fd


METHOD = Method("virt-sparsify", lacks, apply, mounts=True)
