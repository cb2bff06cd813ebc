"""The reader of swap areas, whose contents after the header do not survive a boot.

Format: ``union swap_header`` of linux/swap.h, mkswap(8). Signatures of hibernation: libblkid's
swap.c, and HIBERNATE_SIG of the kernel's kernel/power/swap.c.
"""

from __future__ import annotations

import struct

from ..view import Map
from .free_space import FreeSpace, NeedsRecovery, UntrustedMetadata
from .kind import Kind
from .reader import BoundedReader

PAGE_SIZES = (4096, 8192, 16384, 32768, 65536)  # of the machine that made it
SIGNATURE_SIZE = 10  # the last bytes of the header page
SIGNATURE = b"SWAPSPACE2"
OLD_SIGNATURE = b"SWAP-SPACE"
HIBERNATED = (b"S1SUSPEND", b"S2SUSPEND", b"ULSUSPEND", b"LINHIB0001")
TUXONICE = b"\xed\xc3\x02\xe9\x98\x56\xe5\x0c"  # the first bytes of the header page
INFO = struct.Struct("<II")  # at INFO_OFFSET: version, last_page
INFO_OFFSET = 1024  # after bootbits
VERSION = 1


def find_free_space(where: Map) -> FreeSpace:
    """Return the swap area on ``where``, except its header.

    :raises UntrustedMetadata: the header is not in order
    :raises NeedsRecovery: the guest is hibernated
    """
    area = BoundedReader(where)
    header = area.read(0, min(PAGE_SIZES[-1], area.size))
    page = _page_size(header)
    version, last_page = INFO.unpack_from(header, INFO_OFFSET)
    if version != VERSION:
        raise UntrustedMetadata(f"unsupported version {version} of a swap area")
    if last_page == 0:
        raise UntrustedMetadata("invalid last_page 0 of a swap area")
    size = (last_page + 1) * page
    if size > area.size:
        raise UntrustedMetadata(
            f"the swap area ({size} bytes) is larger than its partition ({area.size} bytes)"
        )
    return FreeSpace(swap=area.to_image([(1, last_page + 1)], page))


def _page_size(header: bytes) -> int:
    """Return the size of the header page, by the place of its signature."""
    signatures = {page: header[page - SIGNATURE_SIZE : page] for page in PAGE_SIZES}
    if header.startswith(TUXONICE) or any(s.startswith(HIBERNATED) for s in signatures.values()):
        raise NeedsRecovery("the guest is hibernated")
    for page, signature in signatures.items():
        if signature == SIGNATURE:
            return page
    if OLD_SIGNATURE in signatures.values():
        raise UntrustedMetadata("unsupported version 0 of a swap area")
    raise UntrustedMetadata("no header of a swap area")


KIND = Kind(
    name="swap",
    types=("swap", "swsuspend"),
    reader=find_free_space,
    checker="",
    discardable=False,
    mkfs=("mkswap",),
)
