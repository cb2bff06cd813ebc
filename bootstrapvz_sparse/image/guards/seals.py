"""Hashes, checksums and snapshots over blocks that a filesystem calls free.

Each function returns why nothing in the whole image may be called free, ``""`` if it found nothing:
a tree in one partition covers another one, and which one is seldom written anywhere.
"""

from __future__ import annotations

from .disk import Disk
from .ends import filesystem_end
from .fields import u32, u64
from .owners import DRBD_INDEX, has_drbd
from .suspect import Suspect
from .verity_types import VERITY_TYPES

# blkid's types of what belongs to the blocks of another device
COMPANIONS = {
    "DM_verity_hash": "a dm-verity hash tree",
    "DM_integrity": "dm-integrity checksums",
    "DM_snapshot_cow": "a device-mapper snapshot",
}
VERITY_MAGIC = b"verity\0\0"
DIGEST = 32  # bytes of a slot: SHA-256, or half of SHA-512
HASH_BLOCKS = (512, 1024, 2048, 4096)
MIN_DIGESTS = 2


def verity_type(disk: Disk) -> str:
    """Look for the GPT types of dm-verity partitions: they need no superblock.

    Source: "The Discoverable Partitions Specification"; systemd-repart(8), ``Verity=``.
    """
    for suspect in disk.suspects:
        if suspect.type_code.upper() in VERITY_TYPES:
            return f"{suspect} is of a dm-verity type"
    return ""


def companion(disk: Disk) -> str:
    """Look for superblocks of devices whose content depends on another partition's free blocks.

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
    """Return the name of device-mapper metadata that blkid does not know.

    Source: Linux, drivers/md: ``CACHE_SUPERBLOCK_MAGIC``, ``THIN_SUPERBLOCK_MAGIC``,
    ``SUPERBLOCK_MAGIC`` of dm-era-target.c and dm-clone-metadata.c, ``MEMORY_SUPERBLOCK_MAGIC``.
    """
    raw = suspect.read(0, 40)
    names = {
        6142003: "dm-cache metadata",
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
    """Look for dm-verity superblocks and headerless trees where no filesystem is.

    These places are the first data of partitions without a known content, behind the end of each
    filesystem, and outside the partitions. A superblock may lie at any block there; a headerless
    tree begins with its root block.

    Source: cryptsetup, ``lib/verity/verity.c``, ``struct verity_sb``: signature; veritysetup(8),
    ``--hash-offset``, ``--no-superblock``.

    :raises OSError: the image cannot be read
    """
    for suspect in disk.suspects:
        if has_tree(disk.unclaimed(suspect)):
            place = "behind the filesystem of" if filesystem_end(suspect) else "in"
            return f"a dm-verity hash tree lies {place} {suspect}"
    if any(has_tree(disk.first_data([extent])) for extent in disk.outside()):
        return "a dm-verity hash tree lies outside the partitions"
    return ""


def has_tree(block: bytes) -> bool:
    """Return True for a dm-verity superblock, and for a block that holds digests only.

    A root block is filled with digests from its start and with zeros behind them. Digests of 20
    bytes take 32 each, or 20 each in version 0 (ChromeOS). Source: Linux, Documentation,
    admin-guide/device-mapper/verity.rst, "Hash Tree".
    """
    if any(block.startswith(VERITY_MAGIC, i) for i in range(0, len(block), 512)):
        return True
    return any(_digests(block[:size]) for size in HASH_BLOCKS if size <= len(block))


def _digests(block: bytes) -> bool:
    """Return True if the block is digests up to its zeros."""
    used = block.rstrip(b"\0")
    slots = [used[i : i + DIGEST] for i in range(0, len(used) - DIGEST + 1, DIGEST)]
    if len(used) % DIGEST == 20 or len(slots) < MIN_DIGESTS:
        padded = [used[i : i + DIGEST] for i in range(0, len(used), DIGEST)]
        if len(padded) >= MIN_DIGESTS and all(_sha_1(slot) for slot in padded):
            return True
    # 32 random bytes have 30 values on average, and fewer than 22 once in 10^8
    return len(slots) >= MIN_DIGESTS and all(len(set(slot)) >= 22 for slot in slots)


def _sha_1(slot: bytes) -> bool:
    return not any(slot[20:]) and len(set(slot[:20])) >= 14
