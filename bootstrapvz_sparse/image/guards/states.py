"""Images of a guest that was not shut down, or whose partition table contradicts their content.

Each function returns the reason why no block of the image counts as free, or ``""``.
"""

from __future__ import annotations

from .disk import Disk
from .recovery import needs_recovery
from .suspect import Suspect

PAGE_SIZES = (4096, 8192, 16384, 32768, 65536)
SUSPENDED = (  # the signatures of libblkid/src/superblocks/swap.c
    b"S1SUSPEND",
    b"S2SUSPEND",
    b"ULSUSPEND",
    b"LINHIB0001",
    b"\xed\xc3\x02\xe9\x98\x56\xe5\x0c",
)


def stacked_table(disk: Disk) -> str:
    """Report a partition table on a disk that another signature claims: one of them may be stale.

    Source: blkid(8), which reports both TYPE and PTTYPE. isohybrid(1) images have both on purpose,
    as does a partitioned disk that is a member of a mirror.
    """
    kind, table = disk.signature.type, disk.signature.table
    if disk.signature.ambivalent:
        return "several filesystems or partition tables claim the image"
    if kind and table:
        return f"a partition table ({table}) and {kind} both claim the whole image"
    if kind and any(suspect.number for suspect in disk.suspects):
        return f"{kind} claims the whole image, beside its partition table"
    return ""


def suspended(disk: Disk) -> str:
    """Report a swap area with the memory of a suspended guest.

    Source: Linux, kernel/power/swap.c, ``struct swsusp_header``: the signature of the swap area, in
    the last 10 bytes of its first page, is replaced; libblkid/src/superblocks/swap.c.
    """
    for suspect in disk.suspects:
        if suspect.kind == "swsuspend" or (suspect.kind in ("", "swap") and _suspended(suspect)):
            return f"{suspect} holds the memory of a suspended guest"
    return ""


def _suspended(suspect: Suspect) -> bool:
    return any(suspect.read(page - 10, 10).startswith(SUSPENDED) for page in PAGE_SIZES)


def running(disk: Disk) -> str:
    """Report a guest that was copied while running: one of its filesystems needs recovery.

    Source: see :mod:`.recovery`, for each filesystem.
    """
    for suspect in disk.suspects:
        if reason := needs_recovery(suspect):
            kind = suspect.kind or "several signatures"
            return f"{suspect} was copied in use ({kind}: {reason})"
    return ""
