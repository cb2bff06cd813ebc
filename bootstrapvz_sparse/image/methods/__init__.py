"""Ways to make an image sparse, one file each, and which of them is taken."""

from __future__ import annotations

from importlib import import_module

from ...util.errors import Refused, Unsupported
from .job import Job, Method

# Each is a module of this package, "-" being "_", which is loaded when it is asked for.
METHODS = (
    "punch",
    "copy",
    "reflink",
    "dig-holes",
    "virt-sparsify",
    "virt-sparsify-copy",
    "qemu-img",
    "command",
    "none",
)

# The first that can do it. All others do the same with a program of others, slower.
AUTO = ("punch", "copy")
FALLING_BACK = ("reflink",)  # asked for by name they may still give way to AUTO


def choose(name: str, job: Job) -> Method:
    """The method ``name`` of :data:`METHODS`, or the best one for ``auto``.

    The reason of a choice goes to the notes of the image.

    :raises Unsupported: no method of ``auto`` can do it here
    :raises Refused: the method that was asked for cannot do it here
    """
    if name != "auto":
        method = load(name)
        reason = method.lacks(job)
        if reason is None:
            return method
        if name not in FALLING_BACK:
            raise Refused(f"{name}: {reason}")
        job.image.notes.append(f"{name} is not used: {reason}")
    reasons: list[str] = []
    for method in map(load, AUTO):
        reason = method.lacks(job)
        if reason is None:
            if reasons:
                job.image.notes.append(f"{method.name} is used: {'; '.join(reasons)}")
            return method
        reasons.append(f"{method.name}: {reason}")
    raise Unsupported("; ".join(reasons))


def load(name: str) -> Method:
    """The method ``name`` of :data:`METHODS`."""
    method: Method = import_module(f".{name.replace('-', '_')}", __package__).METHOD
    return method


__all__ = ["METHODS", "Job", "Method", "choose", "load"]
