"""Filesystems that are really damaged, and the one line that tells of it."""

from __future__ import annotations

import os
import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bootstrapvz_sparse.image import checkers
from bootstrapvz_sparse.image.filesystems.checksums import crc32c
from bootstrapvz_sparse.image.view import FileMap
from bootstrapvz_sparse.util import programs
from bootstrapvz_sparse.util.errors import CheckUnavailable, ProgramMissing
from tests.support import xfsprogs
from tests.support.e2fsprogs import debugfs
from tests.support.mounting import run
from tests.support.unable import unable

MIB = 1 << 20
SUPERBLOCK = 64 << 10  # of btrfs
MKFS = {
    "ext4": ("mke2fs", "-q", "-t", "ext4", "-d", "SOURCE", "IMAGE"),
    "xfs": ("mkfs.xfs", "-q", "IMAGE"),
    "btrfs": ("mkfs.btrfs", "-q", "--rootdir", "SOURCE", "IMAGE"),
    "fat12": ("mkfs.fat", "-F", "12", "-s", "64", "IMAGE"),
    "fat16": ("mkfs.fat", "-F", "16", "IMAGE"),
    "fat32": ("mkfs.fat", "-F", "32", "IMAGE"),
    "exfat": ("mkfs.exfat", "IMAGE"),
    "f2fs": ("mkfs.f2fs", "-q", "IMAGE"),
}
SIZE = {"xfs": 320 * MIB, "btrfs": 128 * MIB, "f2fs": 64 * MIB}


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Path]:
    """Make filesystems with two files, where mkfs can fill them."""

    def mkfs(kind: str) -> Path:
        source = tmp_path / "source"
        source.mkdir()
        for name in ("first", "second"):
            (source / name).write_bytes(os.urandom(100_000))
        image = tmp_path / "image"
        with image.open("wb") as file:
            file.truncate(SIZE.get(kind, 40 * MIB))
        words = {"SOURCE": str(source), "IMAGE": str(image)}
        try:
            run(*(words.get(word, word) for word in MKFS[kind]))
        except FileNotFoundError as error:
            unable(f"the program {error.filename} is not there")
        return image

    return mkfs


def checked(image: Path, kind: str) -> checkers.Verdict:
    with image.open("rb") as file:
        where = FileMap(file.fileno(), image.stat().st_size)
        try:
            return checkers.check(where, "vfat" if kind.startswith("fat") else kind, file.fileno())
        except ProgramMissing as error:
            unable(str(error))


def change(image: Path, offset: int, new: bytes) -> None:
    with image.open("r+b") as file:
        os.pwrite(file.fileno(), new, offset)


def read(image: Path, offset: int, form: str) -> int:
    with image.open("rb") as file:
        raw = os.pread(file.fileno(), struct.calcsize(form), offset)
    return int(struct.unpack(form, raw)[0])


@pytest.mark.parametrize("kind", MKFS)
def test_clean(make: Callable[[str], Path], kind: str) -> None:
    assert checked(make(kind), kind) == (None, frozenset())


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("clri <12>", r"e2fsck: Entry 'first' in / \(2\) has deleted/unused inode 12\."),
        ("sif <12> block[0] 9", r"e2fsck: Inode 12 .*corrupt extent header\."),
        ("freeb 1500", r"e2fsck: Block bitmap differences:  \+1500"),
        ("set_bg 0 free_blocks_count 5", r"e2fsck: .*checksums are invalid\."),
        # e2fsck itself calls these clean
        ("ssv state 0", "ext4: it was not unmounted"),
        ("ssv state 3", "ext4: the kernel found errors in it"),
        ("feature needs_recovery", "ext4: its journal has to be replayed"),
        ("ssv last_orphan 12", "ext4: deleted files wait for the next mount"),
        ("ssv blocks_count 99999999", "ext4: it ends beyond the partition"),
    ],
)
def test_ext(make: Callable[[str], Path], command: str, complaint: str) -> None:
    image = make("ext4")
    debugfs(image, command)
    verdict = checked(image, "ext4")
    assert re.fullmatch(complaint, verdict.complaint or ""), verdict


@pytest.mark.parametrize(
    ("commands", "complaint"),
    [
        (("sb 0", "write -d inprogress 1"), "bad primary superblock - .*mkfs-in-progress.*"),
        (("sb 0", "write -d fdblocks 5"), r"sb_fdblocks 5, counted \d+"),
        (("agf 1", "write -d flfirst 9999"), "Metadata corruption detected, xfs_agf block .*"),
        (("agi 0", "write -d unlinked[3] 131"), "agi unlinked bucket 3 is 131 in ag 0 .*"),
        (("inode 128", "write -d core.nblocks 7"), "bad nblocks 7 for inode 128, .*"),
        (("agf 0", "write -c bno 77"), None),
    ],
)
def test_xfs(make: Callable[[str], Path], commands: tuple[str, ...], complaint: str | None) -> None:
    """Never "No modify flag set", which is in every output."""
    image = make("xfs")
    with subprocess.Popen(
        ["xfs_db", "-x", *(word for command in commands for word in ("-c", command)), image],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as xfs_db:
        xfs_db.wait()
    verdict = checked(image, "xfs")
    if complaint:
        assert re.fullmatch(f"xfs_repair: {complaint}", verdict.complaint or ""), verdict
    assert not any("modify" in finding for finding in verdict.findings)


def test_xfs_of_one_group(tmp_path: Path) -> None:
    image = tmp_path / "image"
    xfsprogs.mkfs(image, ["-d", "agcount=1"], 64 * MIB)
    assert checked(image, "xfs").complaint is None
    xfsprogs.xfs_db(image, "sb 0", "write fdblocks 5", write=True)
    verdict = checked(image, "xfs")
    assert verdict.complaint and "sb_fdblocks 5, counted" in verdict.complaint
    assert verdict == checked(image, "xfs")


def test_a_verdict_is_the_same_again(make: Callable[[str], Path]) -> None:
    """Without the addresses of xfs_repair's memory, which differ each time."""
    image = make("xfs")
    change(image, 512 + 40, b"\xff\xff")
    verdict = checked(image, "xfs")
    assert verdict.complaint == "xfs_repair: Metadata CRC error detected, xfs_agf block 0x1/0x200"
    assert verdict == checked(image, "xfs")
    change(image, 1024 + 16, b"\xff\xff")
    assert verdict != checked(image, "xfs")


def change_superblock(image: Path, offset: int, value: int) -> None:
    """Write a number into the superblock of btrfs, with its checksum."""
    change(image, SUPERBLOCK + offset, struct.pack("<Q", value))
    with image.open("rb") as file:
        raw = os.pread(file.fileno(), 4096, SUPERBLOCK)
    change(image, SUPERBLOCK, struct.pack("<I", crc32c(raw[32:]) ^ 0xFFFFFFFF))


@pytest.mark.parametrize(
    ("offset", "value", "complaint"),
    [
        (0x60, 1 << 22, "btrfs: its log has to be replayed"),
        (0x38, 5, "btrfs: the kernel found errors in it"),
        (0x88, 2, "btrfs: it has 2 devices"),
        (0x40, 0, "btrfs: the superblock is damaged"),
        (0x78, 4096, "btrfs check"),
    ],
)
def test_btrfs_superblock(
    make: Callable[[str], Path], offset: int, value: int, complaint: str
) -> None:
    image = make("btrfs")
    change_superblock(image, offset, value)
    verdict = checked(image, "btrfs")
    if offset != 0x78:
        assert verdict.complaint == complaint


def test_btrfs_node(make: Callable[[str], Path]) -> None:
    """Both copies of a node of the extent tree."""
    image = make("btrfs")
    raw = image.read_bytes()
    fsid = raw[SUPERBLOCK + 0x20 : SUPERBLOCK + 0x30]
    for start in range(0, len(raw), 4096):
        header = raw[start : start + 0x65]
        if header[0x20:0x30] == fsid and header[0x58:0x60] == struct.pack("<Q", 2):
            change(image, start + 200, bytes([raw[start + 200] ^ 1]))
    verdict = checked(image, "btrfs")
    pattern = r"btrfs: checksum verify failed on \d+ wanted 0x\w+ found 0x\w+"
    assert re.fullmatch(pattern, verdict.complaint or ""), verdict


FAT_FLAGS = {"fat12": 37, "fat16": 37, "fat32": 65}


@pytest.mark.parametrize("kind", FAT_FLAGS)
def test_fat_dirty(make: Callable[[str], Path], kind: str) -> None:
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
def test_fat_second_entry(make: Callable[[str], Path], kind: str, bit: int, complaint: str) -> None:
    image = make(kind)
    form = "<H" if kind == "fat16" else "<I"
    size = struct.calcsize(form)
    first, length = read(image, 14, "<H") * 512, read(image, 22, "<H") or read(image, 36, "<I")
    for copy in (first, first + length * 512):
        entry = read(image, copy + size, form)
        assert entry & 1 << bit
        change(image, copy + size, struct.pack(form, entry & ~(1 << bit)))
    assert checked(image, kind).complaint == complaint


def test_fat_copies_that_differ(make: Callable[[str], Path]) -> None:
    image = make("fat16")
    change(image, read(image, 14, "<H") * 512 + 20, b"\x34\x12")
    assert checked(image, "fat16").complaint == "fsck.fat: FATs differ but appear to be intact."


def test_fat_without_mirroring(make: Callable[[str], Path]) -> None:
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
def test_exfat(make: Callable[[str], Path], offset: int, new: bytes, complaint: str) -> None:
    image = make("exfat")
    change(image, offset, new)
    assert checked(image, "exfat").complaint == complaint


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
def test_f2fs_flags(make: Callable[[str], Path], flags: int) -> None:
    """Not unmounted, orphans, errors, to be checked: each is no clean filesystem."""
    image = make("f2fs")
    checkpoint(image, flags=0x185)
    assert checked(image, "f2fs").complaint is None
    checkpoint(image, flags=flags)
    assert checked(image, "f2fs").complaint is not None


def test_f2fs(make: Callable[[str], Path]) -> None:
    image = make("f2fs")
    change(image, 1024, bytes(100))
    verdict = checked(image, "f2fs")
    assert verdict.complaint and "Magic Mismatch" in verdict.complaint


@pytest.mark.parametrize("kind", ["ntfs", "", "swap"])
def test_no_checker(tmp_path: Path, kind: str) -> None:
    (tmp_path / "image").write_bytes(bytes(4096))
    with pytest.raises(CheckUnavailable, match="no checker"):
        checked(tmp_path / "image", kind)


def test_program_missing(
    make: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image = make("ext4")
    monkeypatch.setattr(programs, "search_path", lambda: str(tmp_path))
    with image.open("rb") as file, pytest.raises(checkers.NO_VERDICT, match="e2fsck .*e2fsprogs"):
        checkers.check(FileMap(file.fileno(), 40 * MIB), "ext4", file.fileno())


def test_ended_by_a_signal() -> None:
    for status in (-9, 128 + 9):
        result = subprocess.CompletedProcess([], status, "Pass 1: Checking inodes\n", "")
        verdict = checkers.judge(checkers.CHECKERS["ext4"], result)
        assert verdict.complaint == "e2fsck: ended by SIGKILL"


def test_clean_is_said() -> None:
    """A program that ends with 0 and says nothing has checked nothing."""
    for kind in ("btrfs", "exfat", "f2fs"):
        result = subprocess.CompletedProcess([], 0, "", "")
        assert checkers.judge(checkers.CHECKERS[kind], result).complaint is not None
