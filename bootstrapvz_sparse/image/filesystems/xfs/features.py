"""Which features a superblock names, and which of them leave the free-space format alone."""

from __future__ import annotations

from ..free_space import UntrustedMetadata

VERSION_MASK = 0xF  # sb_versionnum; the other bits are features
LOGV2 = 0x0400
SECTOR = 0x0800
MOREBITS = 0x8000  # sb_features2 is in use
# attr nlink quota align dalign logv2 sector extflg dirv2 borg morebits; left out: shared
KNOWN_VERSION = 0x10 | 0x20 | 0x40 | 0x80 | 0x100 | LOGV2 | SECTOR | 0x1000 | 0x2000 | 0x4000
KNOWN_VERSION |= MOREBITS
NEEDED_VERSION = 0x1000 | 0x2000  # of the kernel too: extflg dirv2

LAZY_COUNT = 0x2
CRC = 0x100
# lazysbcount attr2 projid32 ftype, and crc of version 5; left out: parent of IRIX
KNOWN_FEATURES2 = LAZY_COUNT | 0x8 | 0x80 | 0x200

FINOBT, RMAPBT, REFLINK = 0x1, 0x2, 0x4
KNOWN_RO_COMPAT = FINOBT | RMAPBT | REFLINK | 0x8  # inobtcnt

META_UUID = 0x4
NEEDS_REPAIR = 0x10
# ftype spinodes meta_uuid bigtime nrext64 exchrange parent; left out: needsrepair metadir zoned
KNOWN_INCOMPAT = 0x1 | 0x2 | META_UUID | 0x8 | 0x20 | 0x40 | 0x80


class Features:
    """What the superblock ``raw`` says; of version 4 and without them the others are 0."""

    def __init__(self, raw: bytes) -> None:
        def u32(offset: int) -> int:
            return int.from_bytes(raw[offset : offset + 4], "big")

        number = int.from_bytes(raw[100:102], "big")
        if number & VERSION_MASK not in (4, 5):
            raise UntrustedMetadata("unknown version of XFS")
        self.v5 = number & VERSION_MASK == 5
        self.version = number & ~VERSION_MASK
        self.features2 = u32(200) if number & MOREBITS else 0
        self.bad_features2 = u32(204) if number & MOREBITS else 0
        self.compat, self.ro_compat, self.incompat, self.log_incompat = (
            (u32(208), u32(212), u32(216), u32(220)) if self.v5 else (0, 0, 0, 0)
        )
        self.meta_uuid = bool(self.incompat & META_UUID)
        self.lazy_count = self.v5 or bool(self.features2 & LAZY_COUNT)
        self.log_version = 2 if number & LOGV2 else 1

    def has(self, ro_compat: int) -> bool:
        return bool(self.ro_compat & ro_compat)

    def refuse_unknown(self) -> None:
        if self.incompat & NEEDS_REPAIR:
            raise UntrustedMetadata("it needs to be repaired")
        unknown = (
            self.version & ~KNOWN_VERSION,
            self.features2 & ~(KNOWN_FEATURES2 | (CRC if self.v5 else 0)),
            self.compat,
            self.ro_compat & ~KNOWN_RO_COMPAT,
            self.incompat & ~KNOWN_INCOMPAT,
            self.log_incompat,
        )
        if any(unknown):
            raise UntrustedMetadata(
                "it has unknown features: version {:#x}, features2 {:#x}, compat {:#x}, "
                "ro_compat {:#x}, incompat {:#x}, log_incompat {:#x}".format(*unknown)
            )
        if self.features2 != self.bad_features2 or ~self.version & NEEDED_VERSION:
            raise UntrustedMetadata("the superblock contradicts itself")
