"""Guards against other users of the bytes that a filesystem calls free.

A filesystem's metadata covers only its own files. Before anything counts as free, guards examine
the whole image; each is one small function. They read superblocks and the first data outside
filesystems, never holes and never the content of files. Punching zeros changes no byte, so blocks
of zeros may always become holes. A hash tree in another file cannot be detected.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from ..blkid import UNKNOWN, Signature
from ..view import Map
from . import owners, seals, states
from .disk import Disk
from .ends import filesystem_end
from .recovery import needs_recovery
from .suspect import Suspect

IMAGE_GUARDS = (
    states.stacked_table,
    owners.unknown_below_table,
    states.suspended,
    states.running,
    seals.verity_type,
    seals.companion,
    seals.android_boot,
    seals.hash_tree,
)
PARTITION_GUARDS = (
    owners.contradiction,
    owners.array_member,
    owners.replicated,
    owners.unknown_to_blkid,
    owners.behind_filesystem,
)


class Verdict(NamedTuple):
    """The reasons why blocks do not count as free.

    ``everything`` is the reason for the whole image, or ``""``; ``partitions`` maps the numbers of
    suspects to their reasons.
    """

    everything: str = ""
    partitions: Mapping[int, str] = MappingProxyType({})


def judge(
    image: Map, fd: int, suspects: Iterable[Suspect], signature: Signature = UNKNOWN
) -> Verdict:
    """Judge the disk ``image``, a map of the open file ``fd``.

    ``signature`` holds blkid(8)'s results for the image as a whole.

    :raises OSError: the image cannot be read
    """
    disk = Disk(image, fd, suspects, signature)
    everything = next(filter(None, (guard(disk) for guard in IMAGE_GUARDS)), "")
    partitions = {}
    for suspect in disk.suspects:
        if reason := next(filter(None, (guard(disk, suspect) for guard in PARTITION_GUARDS)), ""):
            partitions[suspect.number] = reason
    return Verdict(everything, partitions)


__all__ = ["Suspect", "Verdict", "filesystem_end", "judge", "needs_recovery"]
