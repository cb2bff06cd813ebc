"""Signatures that libblkid knows and no program of Debian makes in a file, written by hand.

Places and fields: util-linux, libblkid/src/superblocks. A negative place counts from the end.
"""

from __future__ import annotations

import os
import struct
import uuid
import zlib
from collections.abc import Callable
from typing import NamedTuple

from .mutations import crc32c

ID = uuid.UUID("c0ffee00-1111-4222-8333-444455556666").bytes
Pieces = list[tuple[int, bytes]]


class Signature(NamedTuple):
    """The type that blkid reports, ``""`` if it knows none, and the pieces for a size in bytes."""

    kind: str
    pieces: Callable[[int], Pieces]


def _at(place: int, raw: bytes) -> Callable[[int], Pieces]:
    return lambda size: [(place, raw)]


def _fields(size: int, *fields: tuple[int, bytes]) -> bytes:
    raw = bytearray(size)
    for place, content in fields:
        raw[place : place + len(content)] = content
    return bytes(raw)


def _md(minor: str) -> Callable[[int], Pieces]:
    """Linux, md_p.h: ``struct mdp_superblock_s`` (0.90) and ``mdp_superblock_1``."""

    def old(size: int) -> Pieces:
        raw = struct.pack("<IIIIIIIiI", 0xA92B4EFC, 0, 90, 0, 0, 1, 1, 1, 1000)
        return [((size & ~0xFFFF) - 0x10000, raw.ljust(4096, b"\0"))]

    def new(size: int) -> Pieces:
        place = {"1.0": (size & ~0xFFF) - 8192, "1.1": 0, "1.2": 4096}[minor]
        raw = bytearray(256)
        struct.pack_into("<IIII16s", raw, 0, 0xA92B4EFC, 1, 0, 0, ID)
        struct.pack_into("<IIQIII", raw, 72, 1, 0, size // 512 - 32, 0, 2, 0)
        struct.pack_into(
            "<QQQ", raw, 128, 0 if minor == "1.0" else 16, size // 512 - 32, place // 512
        )
        total = sum(struct.unpack("<64I", raw))
        struct.pack_into("<I", raw, 216, (total & 0xFFFFFFFF) + (total >> 32))
        return [(place, bytes(raw))]

    return old if minor == "0.90" else new


def _lvm2(size: int) -> Pieces:
    """``struct lvm2_pv_label_header``: id, sector, checksum, offset, type, identifier."""
    body = struct.pack("<I8s", 32, b"LVM2 001") + b"0123456789abcdef0123456789abcdef"
    body = body.ljust(512 - 20, b"\0")
    crc = zlib.crc32(body, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
    return [(512, struct.pack("<8sQI", b"LABELONE", 1, crc) + body)]


def _zfs(size: int) -> Pieces:
    """Uberblocks in slots of 1 KiB at 128 KiB of the first two labels."""
    slots = [
        struct.pack("<QQQQQ", 0x00BAB10C, 5000, 100 + number, 7, 1_700_000_000).ljust(1024, b"\0")
        for number in range(8)
    ]
    return [(label + (128 << 10), b"".join(slots)) for label in (0, 256 << 10)]


def _end_of_raid(magic: bytes, back: int = 512, place: int = 0) -> Callable[[int], Pieces]:
    return lambda size: [((size // 512) * 512 - back + place, magic)]


def _romfs(size: int) -> Pieces:
    return [(0, struct.pack(">8sII16s", b"-rom1fs-", 1024, 0, b"by hand"))]


def _stratis(size: int) -> Pieces:
    """``struct stratis_sb``: a checksum over the rest of the sector."""
    body = b"!Stra0tis\x86\xff\x02^\x41rh" + struct.pack("<QBB", size // 512, 1, 0)
    body = _fields(508, (0, body), (28, b"0" * 32), (60, b"1" * 32))
    crc = crc32c(body) ^ 0xFFFFFFFF
    return [(512, struct.pack("<I", crc) + body), (9 * 512, struct.pack("<I", crc) + body)]


SIGNATURES: dict[str, Signature] = {
    "raid 0.90": Signature("linux_raid_member", _md("0.90")),
    "raid 1.0": Signature("linux_raid_member", _md("1.0")),
    "raid 1.1": Signature("linux_raid_member", _md("1.1")),
    "raid 1.2": Signature("linux_raid_member", _md("1.2")),
    "ddf": Signature(
        "ddf_raid_member",
        _end_of_raid(
            struct.pack(">I", 0xDE11DE11) + bytes(4) + b"0" * 24 + b"01.00.00" + bytes(88)
        ),
    ),
    "isw": Signature("isw_raid_member", _end_of_raid(b"Intel Raid ISM Cfg Sig. 1.0.00", 1024)),
    "lsi": Signature("lsi_mega_raid_member", _end_of_raid(b"$XIDE$")),
    "nvidia": Signature(
        "nvidia_raid_member",
        _end_of_raid(struct.pack("<8sII", b"NVIDIA", 30, 0x12345678), 1024),
    ),
    "jmicron": Signature("jmicron_raid_member", _end_of_raid(b"JM")),
    "hpt37x": Signature("hpt37x_raid_member", _at(4608 + 32, struct.pack("<II", 0x5A7816F0, 0))),
    "hpt45x": Signature(
        "hpt45x_raid_member", _end_of_raid(struct.pack("<I", 0x5A7816F3), 11 * 512)
    ),
    "promise": Signature(
        "promise_fasttrack_raid_member",
        _end_of_raid(b"Promise Technology, Inc.", 63 * 512),
    ),
    "LVM 2": Signature("LVM2_member", _lvm2),
    "LVM 1": Signature(
        "LVM1_member", _at(0, struct.pack("<2sH", b"HM", 1) + bytes(0x28) + b"0" * 128)
    ),
    "snapshot": Signature("DM_snapshot_cow", _at(0, struct.pack("<4sIII", b"SnAp", 1, 1, 16))),
    "verity": Signature(
        "DM_verity_hash",
        _at(
            0,
            _fields(
                512,
                (0, b"verity\0\0"),
                (8, struct.pack("<II16s", 1, 1, ID)),
                (32, b"sha256"),
                (64, struct.pack("<IIQ", 4096, 4096, 100)),
            ),
        ),
    ),
    "integrity": Signature("DM_integrity", _at(0, b"integrt\0\4" + bytes(503))),
    "bluestore": Signature("ceph_bluestore", _at(0, b"bluestore block device\n")),
    "VMFS member": Signature(
        "VMFS_volume_member", _at(1 << 20, _fields(1024, (0, b"\x0d\xd0\x01\xc0"), (130, ID)))
    ),
    "VMFS": Signature("VMFS", _at(2 << 20, _fields(256, (0, b"\x5e\xf1\xab\x2f"), (9, ID)))),
    "ubi": Signature("ubi", _at(0, b"UBI#\1" + bytes(59))),
    "vdo": Signature("vdo", _at(0, b"dmvdo001" + bytes(64))),
    "stratis": Signature("stratis", _stratis),
    "BitLocker": Signature(
        "BitLocker",
        lambda size: [
            (0, _fields(512, (0, b"\xeb\x58\x90-FVE-FS-"), (176, struct.pack("<Q", 1 << 20)))),
            (1 << 20, b"-FVE-FS-" + struct.pack("<HH", 64, 2) + bytes(52)),
        ],
    ),
    "swsuspend": Signature("swsuspend", _at(4096 - 10, b"S1SUSPEND\0")),
    "zfs": Signature("zfs_member", _zfs),
    "hfsplus": Signature(
        "hfsplus",
        _at(
            1024,
            struct.pack(">2sHI", b"H+", 4, 0x100)
            + bytes(32)
            + struct.pack(">I", 4096)
            + bytes(468),
        ),
    ),
    "ufs": Signature("ufs", _at(8192 + 1372, struct.pack("<I", 0x00011954))),
    "ReFS": Signature("ReFS", _at(0, b"\0\0\0ReFS\0")),
    "romfs": Signature("romfs", _romfs),
    "gfs": Signature(
        "gfs",
        _at(
            65536, struct.pack(">IIQII", 0x01161970, 1, 0, 100, 0) + struct.pack(">II", 1309, 1401)
        ),
    ),
    "oracleasm": Signature("oracleasm", _at(32, b"ORCLDISK")),
    "vxfs": Signature("vxfs", _at(1024, b"\xf5\xfc\x01\xa5" + struct.pack("<I", 4))),
    "nss": Signature("nss", _at(4096, b"SPB5" + bytes(200))),
    "apfs": Signature(
        "apfs",
        _at(
            0,
            _fields(
                4096,
                (8, struct.pack("<QQHHHH", 1, 1, 1, 0x8000, 0, 0)),
                (32, b"NXSB"),
                (36, struct.pack("<I", 4096)),
            ),
        ),
    ),
    "ubifs": Signature("ubifs", _at(0, b"\x31\x18\x10\x06" + bytes(4092))),
    "squashfs 3": Signature(
        "squashfs3", _at(0, _fields(128, (0, b"hsqs"), (28, struct.pack("<HH", 3, 0))))
    ),
    "zonefs": Signature("zonefs", _at(0, b"SFOZ" + bytes(4092))),
    # libblkid of Debian 12 does not know these
    "bcachefs": Signature("", _at(4096 + 24, bytes.fromhex("c68573f666ce90a9d96a60cf803df7ef"))),
    "scoutfs": Signature("", _at(65536 + 4, struct.pack("<I", 0x103C428B))),
    "FileVault 2": Signature("", _at(0, _fields(512, (8, b"\1\0\x10\0"), (88, b"CS")))),
}


def write(name: str, image: int, start: int, size: int) -> None:
    """Write the signature into ``size`` bytes from ``start`` of the open file ``image``."""
    for place, raw in SIGNATURES[name].pieces(size):
        os.pwrite(image, raw, start + (place if place >= 0 else size + place))
