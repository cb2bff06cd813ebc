"""Hashes, checksums and snapshots over blocks that a filesystem calls free.

Each function returns the reason why no block of the image counts as free, or ``""``. The reason
applies to the whole image, because a tree in one partition covers another one, which it seldom
names.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..extents import Ranges
from .disk import Disk
from .ends import filesystem_end
from .fields import u32, u64
from .owners import DRBD_INDEX, has_drbd
from .suspect import Suspect
from .verity_types import VERITY_TYPES

# blkid's types of data that belongs to the blocks of another device
COMPANIONS = {
    "DM_verity_hash": "a dm-verity hash tree",
    "DM_integrity": "dm-integrity checksums",
    "DM_snapshot_cow": "a device-mapper snapshot",
}
VERITY_MAGIC = b"verity\0\0"
DIGEST, SHA_1 = 32, 20  # bytes of a SHA-256, or half of a SHA-512
HASH_BLOCKS = (512, 1024, 2048, 4096)
ASCII = bytes(range(0x80))
MAX_READ = 32 << 20  # bytes of data, in each area without a filesystem


def verity_type(disk: Disk) -> str:
    """Look for the GPT types of dm-verity partitions: they need no superblock.

    Source: "The Discoverable Partitions Specification"; systemd-repart(8), ``Verity=``.
    """
    for suspect in disk.suspects:
        if suspect.type_code.upper() in VERITY_TYPES:
            return f"{suspect} is of a dm-verity type"
    return ""


def companion(disk: Disk) -> str:
    """Look for superblocks of devices that depend on the free blocks of another partition.

    Source: blkid(8); cryptsetup, ``lib/verity/verity.c``, ``struct verity_sb``; Linux,
    drivers/md/dm-integrity.c, ``struct superblock``; dm-snap-persistent.c, ``struct disk_header``;
    drbd-utils, drbdmeta.c, ``v07_style_md_get_byte_offset``: external metadata.
    """
    for suspect in disk.suspects:
        if suspect.kind in COMPANIONS:
            return f"{suspect} holds {COMPANIONS[suspect.kind]}"
        if name := _mapper_metadata(suspect):
            return f"{suspect} holds {name}"
        places = range(0, suspect.where.size, DRBD_INDEX)
        if not suspect.kind and any(has_drbd(suspect, place) for place in places):
            return f"{suspect} holds DRBD metadata"
    return ""


def _mapper_metadata(suspect: Suspect) -> str:
    """Return the name of device-mapper metadata that blkid does not recognise.

    Source: Linux, drivers/md: ``CACHE_SUPERBLOCK_MAGIC``, ``THIN_SUPERBLOCK_MAGIC``,
    ``SUPERBLOCK_MAGIC`` of dm-era-target.c and dm-clone-metadata.c, ``MEMORY_SUPERBLOCK_MAGIC``.
    """
    raw = suspect.read(0, 40)
    names = {
        0o6142003: "dm-cache metadata",
        27022010: "dm-thin metadata",
        2126579579: "dm-era metadata",
        0x8AF27F64: "dm-clone metadata",
    }
    if u32(raw, 0) == 0x23489321:
        return "a dm-writecache device"
    return names.get(u64(raw, 32), "")


def android_boot(disk: Disk) -> str:
    """Look for vbmeta images and footers of Android Verified Boot.

    Source: AOSP, external/avb: avb_vbmeta_image.h, AVB_MAGIC at the start; avb_footer.h,
    AVB_FOOTER_MAGIC in the last 64 bytes of a partition or of the image.
    """
    for suspect in (*disk.suspects, Suspect(0, disk.image)):
        if suspect.read(0, 4) == b"AVB0":
            return f"{suspect} holds a vbmeta image (Android Verified Boot)"
        if suspect.read(suspect.where.size - 64, 4) == b"AVBf":
            return f"{suspect} ends with a footer of Android Verified Boot"
    return ""


def hash_tree(disk: Disk) -> str:
    """Look for dm-verity hash trees outside filesystems.

    The search covers partitions with unknown content, the space behind the end of each filesystem,
    and the space outside the partitions. A superblock is searched for in the first 32 MiB of data
    in each; a headerless tree begins with its root block at the start of the data.

    Source: cryptsetup, ``lib/verity/verity.c``, ``struct verity_sb``: signature; veritysetup(8),
    ``--hash-offset``, ``--no-superblock``.

    :raises OSError: the image cannot be read
    """
    for suspect in disk.suspects:
        if tree := _tree_in(disk, disk.unclaimed(suspect)):
            place = "behind the filesystem of" if filesystem_end(suspect) else "in"
            return f"{tree} {place} {suspect}"
    tree = _tree_in(disk, disk.outside())
    return f"{tree} outside the partitions" if tree else ""


def _tree_in(disk: Disk, ranges: Ranges) -> str:
    """Return the beginning of a reason if there is a tree in the file's ``ranges``."""
    left = MAX_READ
    for extent in ranges:
        first = True
        for chunk in disk.chunks([extent], left):
            if any(place % 512 == 0 for place in _find(chunk)):
                return "a dm-verity hash tree lies"
            if first and is_root_block(chunk[:4096]):
                return "data like a dm-verity hash tree without a superblock lie"
            first = False
        left = max(left - (extent[1] - extent[0]), 0)
    return ""


def _find(chunk: bytes) -> Iterator[int]:
    place = chunk.find(VERITY_MAGIC)
    while place >= 0:
        yield place
        place = chunk.find(VERITY_MAGIC, place + 1)


def is_root_block(block: bytes) -> bool:
    """Return True for a block that holds only digests, as the first one of a headerless hash tree.

    Digests fill it from its start, with zeros behind them. Those of SHA-1 take 32 bytes each, or
    20 in version 0 (ChromeOS). Source: Linux, Documentation/admin-guide/device-mapper/verity.rst,
    "Hash Tree"; drivers/md/dm-verity-target.c, ``hash_per_block_bits``.
    """
    return any(_digests(block[:size]) for size in HASH_BLOCKS if size <= len(block))


def _digests(block: bytes) -> bool:
    """Return True if the block is digests up to its zeros.

    Digests of equal blocks are equal, so duplicate digests are allowed.
    """
    used = block.rstrip(b"\0")
    if len(used) <= DIGEST:  # a root block has at least two digests
        return False
    if 8 * len(used.translate(None, ASCII)) < len(used):  # text
        return False
    values = [len(set(slot)) for slot in _slots(used, DIGEST)]
    # 32 random bytes have 30 values on average and all are different in one of 7, as in tables
    if _is_whole(used, DIGEST) and min(values) >= 22 and (min(values) < DIGEST or len(values) < 16):
        return True
    padded = [used[i : i + DIGEST] for i in range(0, len(used), DIGEST)]
    if all(not any(slot[SHA_1:]) and len(set(slot)) >= 13 for slot in padded):
        return True
    # 20 random bytes have 19 values on average
    values = [len(set(slot)) for slot in _slots(used, SHA_1)]
    return (
        _is_whole(used, SHA_1) and min(values) >= 13 and (min(values) < SHA_1 or len(values) < 16)
    )


def _is_whole(used: bytes, size: int) -> bool:
    """Return True for a whole number of digests, the last of which may end with a few zeros."""
    return -len(used) % size < 4


def _slots(used: bytes, size: int) -> list[bytes]:
    return [used[i : i + size] for i in range(0, len(used) - size + 1, size)]
