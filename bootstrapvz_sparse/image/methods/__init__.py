"""Methods of making an image sparse, one file each, and the choice among them."""

from __future__ import annotations

from ...util.errors import Unsupported
from .command import COMMAND
from .copy import COPY
from .dig_holes import DIG_HOLES
from .job import Job, Method
from .none import NONE
from .punch import PUNCH
from .qemu_img import QEMU_IMG
from .reflink import REFLINK
from .virt_sparsify import VIRT_SPARSIFY
from .virt_sparsify_copy import VIRT_SPARSIFY_COPY

__all__ = ["METHODS", "Job", "Method", "choose"]

METHODS = {
    method.name: method
    for method in (
        PUNCH,
        COPY,
        REFLINK,
        DIG_HOLES,
        VIRT_SPARSIFY,
        VIRT_SPARSIFY_COPY,
        QEMU_IMG,
        COMMAND,
        NONE,
    )
}

AUTO = (PUNCH, COPY)  # the first supported one is used; the others are slower
FALLING_BACK = (REFLINK,)  # falls back to AUTO if unsupported


def choose(name: str, job: Job) -> Method:
    """Return the method ``name`` of :data:`METHODS`, or the best one for ``auto``.

    The reason for a fallback goes to the notes of the image.

    :raises Unsupported: the method, or for ``auto`` each method, cannot do the job
    """
    if name != "auto":
        method = METHODS[name]
        reason = method.unsupported_reason(job)
        if not reason:
            return method
        if method not in FALLING_BACK:
            raise Unsupported(f"{name}: {reason}")
        job.image.notes.append(f"{name} is not used: {reason}")
    reasons: list[str] = []
    for method in AUTO:
        reason = method.unsupported_reason(job)
        if not reason:
            if reasons:
                job.image.notes.append(f"{method.name} is used: {'; '.join(reasons)}")
            return method
        reasons.append(f"{method.name}: {reason}")
    raise Unsupported("; ".join(reasons))
