"""Programs of others that make an image sparse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...util import programs
from ...util.errors import ProgramMissing, Refused
from ..replace import replacement_file
from .free import reclaim
from .job import Job


def program_missing(program: str) -> str | None:
    """Why ``program`` cannot be run; None when it can."""
    try:
        programs.find(program)
    except ProgramMissing as missing:
        return str(missing)
    return None


def run(program: str, *arguments: str | Path, fds: Sequence[int] = ()) -> None:
    """Run ``program`` to its end.

    :raises Refused: it fails
    """
    done = programs.run(program, *arguments, fds=fds)
    if done.returncode:
        raise Refused(
            f"{Path(program).name} failed ({done.returncode}): "
            f"{programs.last_line(done.stderr or done.stdout)}"
        )


@contextmanager
def copied(job: Job, program: str, *options: str) -> Iterator[int]:
    """The image as ``program`` copies it, to replace it: called with options, image and copy.

    :raises Refused: it fails
    """
    reclaim(job)
    image = job.image.fd
    with replacement_file(job.image) as file:
        places = programs.same_file(image), programs.same_file(file.fd)
        run(program, *options, *places, fds=[image, file.fd])
        yield file.fd
