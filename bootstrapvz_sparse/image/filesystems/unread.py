"""Filesystems without a reader: only the kernel can discard their free space."""

from __future__ import annotations

from .kind import Kind

BTRFS = Kind(
    name="btrfs",
    types=("btrfs",),
    reader=None,
    checker="btrfs",
    discardable=True,
    mkfs=("mkfs.btrfs",),
)
EXFAT = Kind(
    name="exfat",
    types=("exfat",),
    reader=None,
    checker="fsck.exfat",
    discardable=True,
    mkfs=("mkfs.exfat",),
)
F2FS = Kind(
    name="f2fs",
    types=("f2fs",),
    reader=None,
    checker="fsck.f2fs",
    discardable=True,
    mkfs=("mkfs.f2fs",),
)
VFAT = Kind(
    name="vfat",
    types=("vfat",),
    reader=None,
    checker="fsck.fat",
    discardable=True,
    mkfs=("mkfs.fat",),
)
