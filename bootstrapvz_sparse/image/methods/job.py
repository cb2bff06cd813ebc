"""What a method is given to do."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from ..access import Image
from ..extents import Ranges
from ..holes import Capabilities
from ..scan import Scan
from ..survey import Survey


class Job(NamedTuple):
    """An image to be made sparse, and how.

    ``can`` tells what its folder can do. Holes of fewer than ``min_hole`` bytes are not made by
    the methods that punch themselves. ``command`` is the program of the method of that name, with
    its arguments.
    """

    image: Image
    survey: Survey
    can: Capabilities
    scan: Scan
    min_hole: int = 0
    command: tuple[str, ...] = ()


# Makes the image sparse; the body of ``with`` gets the open file with the result and may still
# refuse it by an exception: a second file replaces the image only afterwards.
Apply = Callable[[Job], AbstractContextManager[int]]
# Why the method cannot do the job; None when it can. Looks, and changes nothing.
Lacks = Callable[[Job], "str | None"]


class Method(NamedTuple):
    """A way to make an image sparse.

    ``scans``: it calls the scan of its job. ``mounts``: it mounts the filesystems in the image,
    which writes to their metadata.
    """

    name: str
    lacks: Lacks
    apply: Apply
    scans: bool = False
    mounts: bool = False


def worth_punching(ranges: Ranges, job: Job) -> Ranges:
    """Those of ``ranges`` that are not shorter than the job's ``min_hole``."""
    return [one for one in ranges if one[1] - one[0] >= job.min_hole]
