"""A sparse copy by qemu-img(1), in place of the image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .. import programs
from ..access import lend
from .job import Job, Method
from .outside import lacks_program, result, run
from .reclaim import reclaim
from .second import lacks_room, second_file, size_of_copy

SMALLEST_HOLE = "4k"


def lacks(job: Job) -> str | None:
    if not job.can.sparse:
        return "files cannot have holes here"
    if job.image.size % 512:
        return "qemu-img would round the size of the image up to whole sectors"
    return lacks_program("qemu-img") or lacks_room(job.image, size_of_copy(job))


@contextmanager
def apply(job: Job) -> Iterator[int]:
    reclaim(job)
    lend(job.image)
    with second_file(job.image) as path:
        run(
            "qemu-img",
            *("convert", "-f", "raw", "-O", "raw", "-S", SMALLEST_HOLE),
            *("-o", "extent_size_hint=0"),  # or xfs allocates whole MiB
            programs.same_file(job.image.fd),
            path,
            fds=[job.image.fd],
        )
        with result(path) as fd:
            yield fd


METHOD = Method("qemu-img", lacks, apply)
