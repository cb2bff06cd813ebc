"""Make the image sparse in place by virt-sparsify(1)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...util import programs
from ..access import release_lock
from .external import program_missing
from .free import free_for_programs
from .job import Job, Method
from .punch import no_punching


def unsupported_reason(job: Job) -> str:
    return no_punching(job) or program_missing("virt-sparsify")


@contextmanager
def apply(job: Job) -> Iterator[int]:
    free_for_programs(job)
    release_lock(job.image)
    options = ("--quiet", "--in-place", "--format", "raw")
    programs.run_with_descendants("virt-sparsify", *options, programs.file_of_ours(job.image.fd))
    yield job.image.fd


VIRT_SPARSIFY = Method(
    "virt-sparsify",
    "virt-sparsify --in-place",
    unsupported_reason,
    apply,
    programs=("virt-sparsify",),
    in_place=True,
    mounts=True,
)
