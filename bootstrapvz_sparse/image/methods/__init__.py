"""Ways to make an image sparse, one file each, and which of them is taken."""

from __future__ import annotations

from ..access import Refused
from ..holes import NotSupported
from . import command, copy, dig_holes, none, punch, qemu_img, reflink, virt_sparsify
from .job import Job, Method

METHODS = {
    method.name: method
    for method in (
        punch.METHOD,
        copy.METHOD,
        reflink.METHOD,
        dig_holes.METHOD,
        virt_sparsify.METHOD,
        virt_sparsify.COPYING,
        qemu_img.METHOD,
        command.METHOD,
        none.METHOD,
    )
}

# The first that can do it. All others do the same with a program of others, slower.
AUTO = (punch.METHOD, copy.METHOD)
FALLING_BACK = (reflink.METHOD,)  # asked for by name they may still give way to AUTO


def choose(name: str, job: Job) -> Method:
    """The method ``name`` of :data:`METHODS`, or the best one for ``auto``.

    The reason of a choice goes to the notes of the image.

    :raises NotSupported: no method of ``auto`` can do it here
    :raises Refused: the method that was asked for cannot do it here
    """
    if name != "auto":
        method = METHODS[name]
        reason = method.lacks(job)
        if reason is None:
            return method
        if method not in FALLING_BACK:
            raise Refused(f"{name}: {reason}")
        job.image.notes.append(f"{name} is not used: {reason}")
    reasons: list[str] = []
    for method in AUTO:
        reason = method.lacks(job)
        if reason is None:
            if reasons:
                job.image.notes.append(f"{method.name} is used: {'; '.join(reasons)}")
            return method
        reasons.append(f"{method.name}: {reason}")
    raise NotSupported("; ".join(reasons))


__all__ = ["METHODS", "Job", "Method", "choose"]
