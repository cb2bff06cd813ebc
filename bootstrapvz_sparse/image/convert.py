"""Images in QEMU's own formats, vdi, vmdk and qcow2, made anew from what they need."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from ..util import programs
from ..util.errors import Refused, VerificationFailed
from ..util.temporary import Temporary, temporary_folder
from .access import lend, opened
from .extents import allocated
from .methods.external import run
from .replace import no_room, replace_image
from .sparsify import sparsify


class Converted(NamedTuple):
    """What came of an image: bytes allocated before and after; what was proved; remarks."""

    before: int
    after: int
    seconds: float
    verified: tuple[str, ...]
    notes: tuple[str, ...]


def convert(path: Path, format: str, *, reclaim: str = "auto", verify: bool = True) -> Converted:
    """Write the image at ``path`` anew in the same ``format``, without what needs no space.

    Its disk is unpacked into a raw file beside it, that is made sparse as any raw image is, and
    packed again by ``qemu-img convert``, which leaves out what reads as zeros. ``verify`` proves
    the raw file as :func:`.sparsify.sparsify` does, and that the new image holds the same.

    :raises SparseError, OSError: as :func:`.sparsify.sparsify`; the image stays as it is
    """
    started = time.perf_counter()
    with opened(path) as image:
        lend(image)
        before = allocated(os.fstat(image.fd))
        if reason := no_room(image, 2 * before):  # the raw disk, and the new image
            raise Refused(f"qemu-img: {reason}")
        status = os.fstat(image.fd)
        with temporary_folder(image.path) as space:
            raw = space / f"{image.path.name}.raw"
            new = space / image.path.name  # which vmdk writes into itself
            # without the hint xfs allocates whole MiB
            sparse = ("-S", "4k", "-o", "extent_size_hint=0")
            run("qemu-img", "convert", "-f", format, "-O", "raw", *sparse, image.path, raw)
            report = sparsify(raw, reclaim=reclaim, verify=verify)
            run("qemu-img", "convert", "-f", "raw", "-O", format, raw, new)
            verified = list(report.verified)
            if verify:
                done = programs.run("qemu-img", "compare", "-F", format, "-f", "raw", raw, new)
                if done.returncode:
                    raise VerificationFailed(programs.last_line(done.stderr or done.stdout))
                verified.append(f"the {format} image holds the same")
            fd = os.open(new, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                replace_image(image, status, Temporary(new, fd))
            finally:
                os.close(fd)
        return Converted(
            before=before,
            after=allocated(os.stat(image.path)),
            seconds=time.perf_counter() - started,
            verified=tuple(verified),
            notes=(*image.notes, *report.notes),
        )
