"""Replace the image by a sparse copy that virt-sparsify(1) makes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...util import programs
from ...util.temporary import temporary_folder
from ..access import release_lock
from ..replace import replacement_file
from .external import program_missing
from .free import free_for_programs
from .job import Job, Method
from .room import no_holes, no_room


def unsupported_reason(job: Job) -> str:
    if reason := no_holes(job):
        return reason
    # it may fill all free space with zeros before it copies
    return program_missing("virt-sparsify") or no_room(job.image, job.image.size)


@contextmanager
def apply(job: Job) -> Iterator[int]:
    free_for_programs(job)
    release_lock(job.image)
    # its overlay goes with the folder even if it is killed
    image = job.image
    with replacement_file(image) as file, temporary_folder(image.path, image.folder) as space:
        programs.run_with_descendants(
            "virt-sparsify",
            *("--quiet", "--format", "raw", "--convert", "raw"),
            *("--check-tmpdir", "fail", "--tmp", space),  # the default is to ask the user
            programs.file_of_ours(image.fd),
            programs.file_of_ours(file.fd),
        )
        yield file.fd


VIRT_SPARSIFY_COPY = Method(
    "virt-sparsify-copy",
    "a second file by virt-sparsify, which replaces the image",
    unsupported_reason,
    apply,
    programs=("virt-sparsify",),
    mounts=True,
)
