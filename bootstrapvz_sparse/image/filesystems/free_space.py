"""The results of a reader: the free space of a filesystem, or why none can be reclaimed."""

from __future__ import annotations

from typing import NamedTuple

from ...util.errors import SparseError
from ..extents import Ranges


class UntrustedMetadata(SparseError):
    """The metadata cannot be trusted to tell which blocks are free; the text says why."""


class NeedsRecovery(UntrustedMetadata):
    """The filesystem was in use when the image was made, or the guest is hibernated.

    Other filesystems of the image then belong to the same interrupted session.
    """


class FreeSpace(NamedTuple):
    """The free space of a filesystem, as byte ranges of the image.

    ``free``: blocks that belong to neither a file nor metadata. ``journal``: the log of an empty
    journal. ``swap``: a swap area after its header.
    """

    free: Ranges = []
    journal: Ranges = []
    swap: Ranges = []
