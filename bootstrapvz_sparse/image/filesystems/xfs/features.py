"""The features of a superblock, and those that do not affect the free-space format."""

from __future__ import annotations

from ..free_space import UntrustedMetadata
from .structs import xfs_dsb

VERSION_NUMBITS = 0xF  # of sb_versionnum; the other bits are features
VERSION_LOGV2 = 0x0400
VERSION_SECTOR = 0x0800
VERSION_MOREBITS = 0x8000  # sb_features2 is in use
# attr nlink quota align dalign logv2 sector extflg dirv2 borg morebits; left out: shared
KNOWN_VERSION = 0x10 | 0x20 | 0x40 | 0x80 | 0x100 | VERSION_LOGV2 | VERSION_SECTOR
KNOWN_VERSION |= 0x1000 | 0x2000 | 0x4000 | VERSION_MOREBITS
NEEDED_VERSION = 0x1000 | 0x2000  # extflg dirv2: the kernel needs them, too

VERSION2_LAZYSBCOUNT = 0x2
VERSION2_CRC = 0x100
# lazysbcount attr2 projid32 ftype, and crc of version 5; left out: parent of IRIX
KNOWN_FEATURES2 = VERSION2_LAZYSBCOUNT | 0x8 | 0x80 | 0x200

RO_COMPAT_FINOBT, RO_COMPAT_RMAPBT, RO_COMPAT_REFLINK = 0x1, 0x2, 0x4
# and inobtcnt
KNOWN_RO_COMPAT = RO_COMPAT_FINOBT | RO_COMPAT_RMAPBT | RO_COMPAT_REFLINK | 0x8

INCOMPAT_META_UUID = 0x4
INCOMPAT_NEEDSREPAIR = 0x10
# ftype spinodes meta_uuid bigtime nrext64 exchrange parent; left out: needsrepair metadir zoned
KNOWN_INCOMPAT = 0x1 | 0x2 | INCOMPAT_META_UUID | 0x8 | 0x20 | 0x40 | 0x80


class Features:
    """The features of a superblock; the fields of version 5 are 0 in version 4."""

    def __init__(self, sb: xfs_dsb) -> None:
        number = sb.sb_versionnum & VERSION_NUMBITS
        if number not in (4, 5):
            raise UntrustedMetadata(f"unsupported sb_versionnum {sb.sb_versionnum:#x}")
        self.v5 = number == 5
        self.version = sb.sb_versionnum & ~VERSION_NUMBITS
        more = sb.sb_versionnum & VERSION_MOREBITS
        self.features2 = sb.sb_features2 if more else 0
        self.bad_features2 = sb.sb_bad_features2 if more else 0
        self.compat = sb.sb_features_compat if self.v5 else 0
        self.ro_compat = sb.sb_features_ro_compat if self.v5 else 0
        self.incompat = sb.sb_features_incompat if self.v5 else 0
        self.log_incompat = sb.sb_features_log_incompat if self.v5 else 0
        self.meta_uuid = bool(self.incompat & INCOMPAT_META_UUID)
        self.lazy_count = self.v5 or bool(self.features2 & VERSION2_LAZYSBCOUNT)
        self.log_version = 2 if self.version & VERSION_LOGV2 else 1

    def has(self, ro_compat: int) -> bool:
        """Return True if the feature is set in sb_features_ro_compat."""
        return bool(self.ro_compat & ro_compat)

    def refuse_unknown(self) -> None:
        """Check that all features are known and agree.

        :raises UntrustedMetadata: a feature is unknown, or two fields contradict each other
        """
        if self.incompat & INCOMPAT_NEEDSREPAIR:
            raise UntrustedMetadata("needs repair (needsrepair): run xfs_repair")
        unknown = (
            self.version & ~KNOWN_VERSION,
            self.features2 & ~(KNOWN_FEATURES2 | (VERSION2_CRC if self.v5 else 0)),
            self.compat,
            self.ro_compat & ~KNOWN_RO_COMPAT,
            self.incompat & ~KNOWN_INCOMPAT,
            self.log_incompat,
        )
        if any(unknown):
            raise UntrustedMetadata(
                "unsupported features: version {:#x}, features2 {:#x}, compat {:#x}, "
                "ro_compat {:#x}, incompat {:#x}, log_incompat {:#x}".format(*unknown)
            )
        if self.features2 != self.bad_features2:
            raise UntrustedMetadata(
                f"sb_features2 is {self.features2:#x}, sb_bad_features2 {self.bad_features2:#x}"
            )
        if missing := ~self.version & NEEDED_VERSION:
            raise UntrustedMetadata(f"features missing in sb_versionnum: {missing:#x}")
