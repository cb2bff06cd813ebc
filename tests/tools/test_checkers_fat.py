"""FAT, exFAT and F2FS that are damaged or not clean: their checkers tolerate most of it."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from tests.support.checked import Make, change, checked, make, read

__all__ = ["make"]  # a fixture


FAT_FLAGS = {"fat12": 37, "fat16": 37, "fat32": 65}


@pytest.mark.parametrize("kind", FAT_FLAGS)
def test_fat_dirty(make: Make, kind: str) -> None:
    image = make(kind)
    change(image, FAT_FLAGS[kind], b"\1")
    assert checked(image, kind).complaint == "vfat: it was not unmounted"


@pytest.mark.parametrize(
    ("kind", "bit", "complaint"),
    [
        ("fat16", 15, "vfat: it was not unmounted"),
        ("fat16", 14, "vfat: a read or write of it failed"),
        ("fat32", 27, "vfat: it was not unmounted"),
        ("fat32", 26, "vfat: a read or write of it failed"),
    ],
)
def test_fat_second_entry(make: Make, kind: str, bit: int, complaint: str) -> None:
    image = make(kind)
    form = "<H" if kind == "fat16" else "<I"
    size = struct.calcsize(form)
    first, length = read(image, 14, "<H") * 512, read(image, 22, "<H") or read(image, 36, "<I")
    for copy in (first, first + length * 512):
        entry = read(image, copy + size, form)
        assert entry & 1 << bit
        change(image, copy + size, struct.pack(form, entry & ~(1 << bit)))
    assert checked(image, kind).complaint == complaint


def test_fat_copies_that_differ(make: Make) -> None:
    image = make("fat16")
    change(image, read(image, 14, "<H") * 512 + 20, b"\x34\x12")
    assert checked(image, "fat16").complaint == "fsck.fat: FATs differ but appear to be intact."


def test_fat_without_mirroring(make: Make) -> None:
    image = make("fat32")
    change(image, 40, b"\x80")
    assert checked(image, "fat32").complaint == "vfat: only one of its FATs is in use"


@pytest.mark.parametrize(
    ("offset", "new", "complaint"),
    [
        (106, b"\2", "exfat: it was not unmounted"),
        (106, b"\4", "exfat: a read or write of it failed"),
        (106, b"\1", "exfat: it has a second FAT"),
        (120, b"x", "fsck.exfat: boot region is corrupted. try to restore the region from backup."),
        (3, b"x", "exfat: the boot sector is damaged"),
    ],
)
def test_exfat(make: Make, offset: int, new: bytes, complaint: str) -> None:
    image = make("exfat")
    change(image, offset, new)
    assert checked(image, "exfat").complaint == complaint


@pytest.mark.parametrize("cluster", range(4))
def test_exfat_bitmap(make: Make, cluster: int) -> None:
    """The clusters of the bitmap, of the upcase table and of the root directory."""
    image = make("exfat")
    heap = read(image, 88, "<I") * 512
    assert read(image, heap, "<B") == 0b1111
    change(image, heap, bytes([0b1111 ^ 1 << cluster]))
    assert checked(image, "exfat").complaint == "exfat: its bitmap is damaged"


def checkpoint(image: Path, *, flags: int) -> None:
    """Set flags of both checkpoints of f2fs; its CRC-32 begins with its magic number."""
    first = read(image, 1024 + 76, "<I") * 4096
    for start in (first, first + (512 * 4096)):
        for place in (start, start + (read(image, start + 136, "<I") - 1) * 4096):
            with image.open("rb") as file:
                raw = bytearray(os.pread(file.fileno(), 4096, place))
            struct.pack_into("<I", raw, 132, flags)
            end = struct.unpack_from("<I", raw, 164)[0]
            crc = 0xF2F52010
            for byte in raw[:end]:
                crc ^= byte
                for _ in range(8):
                    crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
            struct.pack_into("<I", raw, end, crc)
            change(image, place, bytes(raw))


@pytest.mark.parametrize("flags", [0x184, 0x187, 0x18D, 0x195, 0x18C])
def test_f2fs_flags(make: Make, flags: int) -> None:
    """Not unmounted, orphans, errors, to be checked: each is no clean filesystem."""
    image = make("f2fs")
    checkpoint(image, flags=0x185)
    assert checked(image, "f2fs").complaint is None
    checkpoint(image, flags=flags)
    assert checked(image, "f2fs").complaint is not None


def test_f2fs(make: Make) -> None:
    image = make("f2fs")
    change(image, 1024, bytes(100))
    verdict = checked(image, "f2fs")
    assert verdict.complaint and "Magic Mismatch" in verdict.complaint
