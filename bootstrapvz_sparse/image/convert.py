"""Rewrite images in QEMU's own formats (vdi, vmdk, qcow2) without what needs no space."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from ..util import programs
from ..util.errors import Unsupported, VerificationFailed
from ..util.temporary import Temporary, temporary_folder
from .access import opened, release_lock
from .api import sparsify
from .extents import allocated
from .methods.room import no_room
from .replace import replace_image


class Converted(NamedTuple):
    """The result of a conversion: bytes allocated before and after, proofs and notes in words."""

    before: int
    after: int
    seconds: float
    verified: tuple[str, ...]
    notes: tuple[str, ...]


def convert(path: Path, format: str, *, reclaim: str = "auto", verify: bool = True) -> Converted:
    """Rewrite the image at ``path`` in the same ``format``, without what needs no space.

    Its disk is unpacked into a raw file beside it, made sparse as any raw image is, and packed
    again by ``qemu-img convert``, which leaves out what reads as zeros. ``verify`` proves the raw
    file as :func:`.api.sparsify` does, and that the new image holds the same.

    :raises SparseError, OSError: as :func:`.api.sparsify`; the image stays as it is
    """
    started = time.perf_counter()
    with opened(path) as image:
        release_lock(image)
        before = allocated(os.fstat(image.fd))
        if reason := no_room(image, 2 * before):  # the raw disk, and the new image
            raise Unsupported(f"qemu-img: {reason}")
        status = os.fstat(image.fd)
        with temporary_folder(image.path) as space:
            raw = space / "disk.raw"
            new = space / image.path.name  # vmdk writes its own name into itself
            source = programs.same_file(image.fd)
            # without the hint xfs allocates whole MiB
            sparse = ("-S", "4k", "-o", "extent_size_hint=0")
            to_raw = ("convert", "-f", format, "-O", "raw", *sparse)
            programs.run("qemu-img", *to_raw, source, raw, fds=[image.fd])
            report = sparsify(raw, reclaim=reclaim, verify=verify)
            programs.run("qemu-img", "convert", "-f", "raw", "-O", format, raw, new)
            verified = list(report.verified)
            if verify:
                _compare(raw, new, format)
                verified.append(f"the {format} image has the content of its raw disk")
            fd = os.open(new, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                replace_image(image, status, Temporary(new, fd, space))
            finally:
                os.close(fd)
        return Converted(
            before=before,
            after=allocated(os.stat(image.path)),
            seconds=time.perf_counter() - started,
            verified=tuple(verified),
            notes=(*image.notes, *report.notes),
        )


def _compare(raw: Path, new: Path, format: str) -> None:
    """Compare the disks in two images.

    :raises VerificationFailed: they differ
    """
    formats = ("-f", "raw", "-F", format)
    compared = programs.run("qemu-img", "compare", *formats, raw, new, check=False)
    if compared.returncode:
        raise VerificationFailed(programs.last_line(compared.stderr or compared.stdout))
