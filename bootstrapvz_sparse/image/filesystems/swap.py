"""Swap areas: nothing behind the header survives a boot. Format: ``linux/swap.h``, mkswap(8)."""

from __future__ import annotations

import os
import struct

from .free_space import FreeSpace, UntrustedMetadata

PAGE_SIZES = (4096, 8192, 16384, 32768, 65536)  # that of the machine it was made on
MAGIC = b"SWAPSPACE2"  # at the end of the header page; another one where a machine hibernated
INFO = struct.Struct("<II")  # at 1024: version, last page
VERSION = 1


def unneeded(fd: int, start: int, end: int) -> FreeSpace:
    """What the swap area between the bytes ``start`` and ``end`` of the image can lose.

    :raises UntrustedMetadata: its header is not in order
    """
    header = os.pread(fd, min(PAGE_SIZES[-1], end - start), start)
    for page in PAGE_SIZES:
        if header[page - len(MAGIC) : page] == MAGIC:
            break
    else:
        raise UntrustedMetadata("no header of a swap area")
    version, last_page = INFO.unpack_from(header, 1024)
    if version != VERSION or last_page == 0:
        raise UntrustedMetadata("a swap area of an unknown version")
    used_until = start + (last_page + 1) * page
    if used_until > end:
        raise UntrustedMetadata("the swap area is larger than the space it has")
    return FreeSpace(swap=[(start + page, used_until)])
