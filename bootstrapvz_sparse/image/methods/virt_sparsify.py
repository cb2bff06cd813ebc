"""In place, by virt-sparsify(1) of libguestfs, which starts a small virtual machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..access import lend
from .job import Job, Method
from .outside import lacks_program, run
from .punch import lacks as lacks_punching
from .reclaim import reclaim


def lacks(job: Job) -> str | None:
    return lacks_punching(job) or lacks_program("virt-sparsify")


@contextmanager
def apply(job: Job) -> Iterator[int]:
    reclaim(job)
    lend(job.image)
    run("virt-sparsify", "--quiet", "--in-place", "--format", "raw", job.image.path)
    yield job.image.fd


METHOD = Method("virt-sparsify", lacks, apply, mounts=True)
