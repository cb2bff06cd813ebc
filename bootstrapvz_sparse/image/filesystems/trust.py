"""The two answers of a reader."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..extents import Ranges


class NotTrusted(Exception):
    """What is on the disk does not allow to say which blocks are free; the text says why."""


@dataclass(frozen=True)
class Unneeded:
    """Byte ranges of the image whose content nobody will ever read.

    ``free``: in no file and no metadata. ``journal``: the log of a journal that is empty.
    ``swap``: a swap area behind its header.
    """

    free: Ranges = field(default_factory=list)
    journal: Ranges = field(default_factory=list)
    swap: Ranges = field(default_factory=list)
