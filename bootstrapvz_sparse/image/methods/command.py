"""Make the image sparse in place by a program that the user names, e.g. ``sparsify IMAGE``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...util import programs
from ..access import release_lock
from .external import program_missing
from .free import free_for_programs
from .job import Job, Method


def unsupported_reason(job: Job) -> str:
    if not job.command:
        return "needs a command (--command, or sparsify_command in the manifest)"
    return program_missing(job.command[0])


@contextmanager
def apply(job: Job) -> Iterator[int]:
    free_for_programs(job)
    release_lock(job.image)
    programs.run_with_descendants(*job.command, programs.file_of_ours(job.image.fd))
    yield job.image.fd


COMMAND = Method(
    "command",
    "an in-place program of your choice, named by --command",
    unsupported_reason,
    apply,
    in_place=True,
)
