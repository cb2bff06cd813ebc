"""What a filesystem itself says it does not need, one module for each that is known.

A reader answers with byte ranges of the image, or raises :class:`UntrustedMetadata`: then nothing
counts as free there. It reads metadata only and never writes.
"""

from __future__ import annotations

from importlib import import_module

from .free_space import FreeSpace, UntrustedMetadata

# The reader for each type of blkid(8); it is loaded when there is such a filesystem.
READERS = {"ext2": "ext", "ext3": "ext", "ext4": "ext", "swap": "swap", "xfs": "xfs"}


def unneeded(type: str, fd: int, start: int, end: int) -> FreeSpace:
    """What the filesystem between the bytes ``start`` and ``end`` of the image does not need.

    ``type`` is what blkid calls it: with what the reader finds itself, two agree on what is there.

    :raises UntrustedMetadata: no filesystem that is known, or one that is not in order
    :raises OSError: the image cannot be read
    """
    if type not in READERS:
        raise UntrustedMetadata(f"nothing is known of {type}" if type else "no known filesystem")
    reader = import_module(f".{READERS[type]}", __package__)
    found: FreeSpace = reader.unneeded(fd, start, end)
    return found


__all__ = ["READERS", "UntrustedMetadata", "FreeSpace", "unneeded"]
