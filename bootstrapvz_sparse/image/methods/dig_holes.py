"""Make the image sparse in place by fallocate(1) of util-linux."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...util import programs
from .external import program_missing
from .free import free_for_programs
from .job import Job, Method
from .punch import no_punching


def unsupported_reason(job: Job) -> str:
    return no_punching(job) or program_missing("fallocate")


@contextmanager
def apply(job: Job) -> Iterator[int]:
    free_for_programs(job)
    fd = job.image.fd
    programs.run("fallocate", "--dig-holes", programs.same_file(fd), fds=[fd])
    yield fd


DIG_HOLES = Method(
    "dig-holes",
    "fallocate --dig-holes on the image itself",
    unsupported_reason,
    apply,
    programs=("fallocate",),
    in_place=True,
)
