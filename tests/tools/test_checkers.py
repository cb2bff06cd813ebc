"""Filesystems that are really damaged, and the one line that tells of it."""

from __future__ import annotations

import os
import re
import struct
import subprocess
from pathlib import Path

import pytest

from bootstrapvz_sparse.image import checkers
from bootstrapvz_sparse.image.filesystems.checksums import crc32c
from bootstrapvz_sparse.image.view import FileMap
from bootstrapvz_sparse.util import programs
from bootstrapvz_sparse.util.errors import CheckUnavailable
from tests.support import xfsprogs
from tests.support.checked import MIB, MKFS, Make, change, checked, make
from tests.support.e2fsprogs import debugfs

__all__ = ["make"]  # a fixture
SUPERBLOCK = 64 << 10  # of btrfs


@pytest.mark.parametrize("kind", MKFS)
def test_clean(make: Make, kind: str) -> None:
    assert checked(make(kind), kind) == (None, frozenset())


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("clri first", r"e2fsck: Entry 'first' in / \(2\) has deleted/unused inode \d+\."),
        ("sif first block[0] 9", r"e2fsck: Inode \d+ .*corrupt extent header\."),
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
def test_ext(make: Make, command: str, complaint: str) -> None:
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
def test_xfs(make: Make, commands: tuple[str, ...], complaint: str | None) -> None:
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


def test_a_verdict_is_the_same_again(make: Make) -> None:
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
def test_btrfs_superblock(make: Make, offset: int, value: int, complaint: str) -> None:
    image = make("btrfs")
    change_superblock(image, offset, value)
    verdict = checked(image, "btrfs")
    if offset != 0x78:
        assert verdict.complaint == complaint


def test_btrfs_node(make: Make) -> None:
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


@pytest.mark.parametrize("kind", ["ntfs", "", "swap"])
def test_no_checker(tmp_path: Path, kind: str) -> None:
    (tmp_path / "image").write_bytes(bytes(4096))
    with pytest.raises(CheckUnavailable, match="no checker"):
        checked(tmp_path / "image", kind)


def test_program_missing(make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    image = make("ext4")
    monkeypatch.setattr(programs, "search_path", lambda: str(tmp_path))
    with image.open("rb") as file, pytest.raises(checkers.NO_VERDICT, match="e2fsck .*e2fsprogs"):
        checkers.check(FileMap(file.fileno(), 40 * MIB), "ext4", file.fileno())


def test_program_that_cannot_start(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As the dynamic linker reports a library that is missing."""
    image = make("ext4")
    program = tmp_path / "e2fsck"
    program.write_text("#!/bin/sh\necho 'error while loading shared libraries' >&2; exit 127\n")
    program.chmod(0o755)
    monkeypatch.setattr(programs, "find", lambda name: str(program))
    with image.open("rb") as file, pytest.raises(CheckUnavailable, match="shared libraries"):
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
