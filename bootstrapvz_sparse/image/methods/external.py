"""External programs that make an image sparse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...util import programs
from ...util.errors import ProgramMissing
from ..replace import replacement_file
from .free import free_for_programs
from .job import Job


def program_missing(program: str) -> str:
    """Return why ``program`` cannot be run; "" if it can."""
    try:
        programs.find(program)
    except ProgramMissing as missing:
        return str(missing)
    return ""


@contextmanager
def copied(job: Job, program: str, *options: str) -> Iterator[int]:
    """Replace the image by the copy that ``program`` makes, called with options, image and copy.

    :raises ProgramFailed: it fails
    """
    free_for_programs(job)
    image = job.image.fd
    with replacement_file(job.image) as file:
        places = programs.same_file(image), programs.same_file(file.fd)
        programs.run(program, *options, *places, fds=[image, file.fd])
        yield file.fd
