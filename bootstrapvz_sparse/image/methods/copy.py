"""A sparse copy by GNU cp, in place of the image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .. import programs
from .job import Job, Method
from .outside import lacks_program, result, run
from .reclaim import reclaim
from .second import lacks_room, second_file, size_of_copy


def lacks(job: Job) -> str | None:
    if not job.can.sparse:
        return "files cannot have holes here"
    return lacks_program("cp") or lacks_room(job.image, size_of_copy(job))


@contextmanager
def apply(job: Job) -> Iterator[int]:
    reclaim(job)
    with second_file(job.image) as path:
        # where files can be cloned cp does so unasked, and then makes nothing sparse
        run(
            "cp",
            *("--sparse=always", "--reflink=never", "--"),
            programs.same_file(job.image.fd),
            path,
            fds=[job.image.fd],
        )
        with result(path) as fd:
            yield fd


METHOD = Method("copy", lacks, apply)
