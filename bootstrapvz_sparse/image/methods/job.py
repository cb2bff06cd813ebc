"""The job of a method, and the record that describes a method."""

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
    """An image to make sparse.

    ``capabilities``: of the folder of the image. ``min_hole``: bytes of the shortest hole made by
    methods that punch holes themselves. ``command``: the program of the method of that name, with
    its arguments.
    """

    image: Image
    survey: Survey
    capabilities: Capabilities
    scan: Scan
    min_hole: int = 0
    command: tuple[str, ...] = ()


# Makes the image sparse. The body of ``with`` gets the open file with the result and may still
# refuse it by an exception: a replacement file takes the image's place only afterwards.
Apply = Callable[[Job], AbstractContextManager[int]]
# Says why the method cannot do the job; "" if it can. Changes nothing.
UnsupportedReason = Callable[[Job], str]


class Method(NamedTuple):
    """A way to make an image sparse; ``docs/writing-a-method.md`` describes how to add one.

    ``summary``: one line for help texts and tables. ``programs``: the external programs that it
    runs. ``in_place``: it changes the image itself, so it needs no space for a second file.
    ``honours_min_hole``: it makes no shorter holes than the job's. ``scans``: it runs the scan of
    its job. ``mounts``: it mounts the filesystems of the image, which writes to their metadata.
    """

    name: str
    summary: str
    unsupported_reason: UnsupportedReason
    apply: Apply
    programs: tuple[str, ...] = ()
    in_place: bool = False
    honours_min_hole: bool = False
    scans: bool = False
    mounts: bool = False


def long_enough(ranges: Ranges, job: Job) -> Ranges:
    """Return the ``ranges`` that are not shorter than the job's ``min_hole``."""
    return [one for one in ranges if one[1] - one[0] >= job.min_hole]
