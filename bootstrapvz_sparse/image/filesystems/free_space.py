"""The two answers of a reader."""

from __future__ import annotations

from typing import NamedTuple

from ..extents import Ranges


class UntrustedMetadata(Exception):
    """What is on the disk does not allow to say which blocks are free; the text says why."""


class FreeSpace(NamedTuple):
    """Byte ranges of the image whose content nobody will ever read.

    ``free``: in no file and no metadata. ``journal``: the log of a journal that is empty.
    ``swap``: a swap area behind its header. ``checksums``: whether there are some over all that
    says so.
    """

    free: Ranges = []
    journal: Ranges = []
    swap: Ranges = []
    checksums: bool = False
