"""Images in QEMU's own formats, vdi, vmdk and qcow2, made anew from what they need."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from . import programs
from .access import Refused, lend, opened
from .extents import allocated
from .methods.outside import run
from .methods.second import lacks_room, second_file
from .sparsify import sparsify
from .temporary import SUFFIX
from .verify import Changed


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

    :raises Refused, NotSupported, Changed, OSError: as :func:`.sparsify.sparsify`; the image
        stays as it is
    """
    started = time.perf_counter()
    with opened(path) as image:
        lend(image)
        before = allocated(os.fstat(image.fd))
        if reason := lacks_room(image, 2 * before):  # the raw disk, and the new image
            raise Refused(f"qemu-img: {reason}")
        folder = image.path.parent
        with (
            tempfile.TemporaryDirectory(SUFFIX, dir=folder) as space,
            second_file(image, same_size=False) as new,
        ):
            raw = Path(space, "disk.raw")
            # without the hint xfs allocates whole MiB
            sparse = ("-S", "4k", "-o", "extent_size_hint=0")
            run("qemu-img", "convert", "-f", format, "-O", "raw", *sparse, image.path, raw)
            report = sparsify(raw, reclaim=reclaim, verify=verify)
            run("qemu-img", "convert", "-f", "raw", "-O", format, raw, new)
            verified = list(report.verified)
            if verify:
                done = programs.run("qemu-img", "compare", "-F", format, "-f", "raw", raw, new)
                if done.returncode:
                    raise Changed(programs.last_line(done.stderr or done.stdout))
                verified.append(f"the {format} image holds the same")
        return Converted(
            before=before,
            after=allocated(os.stat(image.path)),
            seconds=time.perf_counter() - started,
            verified=tuple(verified),
            notes=(*image.notes, *report.notes),
        )
