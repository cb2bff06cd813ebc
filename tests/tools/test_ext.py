"""The ext reader against e2fsprogs, over file systems of many kinds. Needs no root."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bootstrapvz_sparse.image import sparsify
from bootstrapvz_sparse.image.extents import (
    Ranges,
    allocated,
    total,
    union,
)
from bootstrapvz_sparse.image.filesystems import NeedsRecovery, UntrustedMetadata
from tests.support.e2fsprogs import check, debugfs, mend
from tests.support.ext import corrupt, fill, journal_of, mke2fs, read, read_back
from tests.support.mounting import attached, run
from tests.support.unable import unable


@pytest.fixture(autouse=True)
def e2fsprogs() -> None:
    if shutil.which("mke2fs") is None:
        unable("e2fsprogs is not there")


KINDS = {
    "ext2": ["-t", "ext2"],
    "ext3": ["-t", "ext3"],
    "ext4": ["-t", "ext4"],
    "revision 0": ["-t", "ext2", "-r", "0", "-O", "none"],
    "1 KiB blocks": ["-t", "ext4", "-b", "1024"],
    "2 KiB blocks": ["-t", "ext4", "-b", "2048"],
    "ext3 of 1 KiB blocks": ["-t", "ext3", "-b", "1024"],
    "32-byte descriptors": ["-t", "ext4", "-O", "^64bit"],
    "64-byte descriptors": ["-t", "ext4", "-O", "64bit"],
    "no checksums": ["-t", "ext4", "-O", "^metadata_csum,uninit_bg"],
    "no checksums at all": ["-t", "ext4", "-O", "^metadata_csum,^uninit_bg"],
    "seeded checksums": ["-t", "ext4", "-O", "metadata_csum,metadata_csum_seed"],
    "no flex_bg": ["-t", "ext4", "-O", "^flex_bg,^resize_inode"],
    "meta_bg": ["-t", "ext4", "-O", "meta_bg,^resize_inode"],
    "meta_bg, 1 KiB": ["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode"],
    "meta_bg, not flex": ["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode,^flex_bg"],
    "sparse_super2": ["-t", "ext4", "-b", "1024", "-O", "sparse_super2,^resize_inode"],
    "no sparse_super": ["-t", "ext2", "-b", "1024", "-O", "^sparse_super,^resize_inode"],
    "no journal": ["-t", "ext4", "-O", "^has_journal"],
    "small groups": ["-t", "ext4", "-b", "1024", "-g", "1024"],
    "128-byte inodes": ["-t", "ext4", "-I", "128"],
    "quota, orphan file": ["-t", "ext4", "-O", "quota,orphan_file"],
}


def oracle(path: Path) -> Ranges:
    """Free byte ranges as dumpe2fs prints them. Of bigalloc it prints a range's last cluster by
    its first block only: not used there."""
    text = subprocess.run(["dumpe2fs", path], capture_output=True, text=True, check=True).stdout
    found = re.search(r"^Block size:\s+(\d+)", text, re.M)
    assert found
    block = int(found[1])
    ranges = []
    for line in re.findall(r"^  Free blocks: (.+)$", text, re.M):
        for part in filter(None, line.split(", ")):
            first, _, last = part.strip().partition("-")
            if first:
                ranges.append((int(first), int(last or first) + 1))
    return union((a * block, b * block) for a, b in ranges)


@pytest.mark.parametrize("kind", KINDS)
def test_free_blocks_are_those_of_dumpe2fs(kind: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    mke2fs(image, KINDS[kind])
    fill(image, seed=len(kind))
    assert read(image).free == oracle(image)


@pytest.mark.parametrize("kind", KINDS)
def test_sparsified_files_are_what_they_were(kind: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    mke2fs(image, KINDS[kind])
    files = fill(image, seed=1)
    mend(image)
    subprocess.run(["cp", "--sparse=never", image, tmp_path / "whole"], check=True)
    report = sparsify(tmp_path / "whole")
    assert report.notes == ()
    assert report.after < report.apparent <= report.before
    assert read_back(tmp_path / "whole", list(files)) == files
    assert check(tmp_path / "whole") == ""


def test_bigalloc(tmp_path: Path) -> None:
    image = tmp_path / "image"
    mke2fs(image, ["-t", "ext4", "-O", "bigalloc", "-C", "16384"])
    files = fill(image, seed=2)
    text = subprocess.run(["dumpe2fs", "-h", image], capture_output=True, text=True).stdout
    free, block = (
        re.search(rf"^{key}:\s+(\d+)", text, re.M) for key in ("Free blocks", "Block size")
    )
    assert free and block
    assert total(read(image).free) == int(free[1]) * int(block[1])
    sparsify(image)
    assert read_back(image, list(files)) == files
    assert check(image) == ""


def test_a_filesystem_within_an_image(tmp_path: Path) -> None:
    image, inner = tmp_path / "image", tmp_path / "inner"
    mke2fs(inner, ["-t", "ext4"])
    fill(inner, seed=3)
    offset = 512
    image.write_bytes(bytes(offset) + inner.read_bytes())
    # of the filesystem alone: dumpe2fs 1.47.2 has no FILE?offset= any more
    assert read(image, offset).free == [(offset + a, offset + b) for a, b in oracle(inner)]


def test_not_trusted(tmp_path: Path) -> None:
    good = tmp_path / "good"
    mke2fs(good, ["-t", "ext4", "-O", "^metadata_csum,^uninit_bg", "-b", "4096"])
    superblock = 1024
    cases = {
        "no ext2/3/4 superblock .s_magic 0xef54": (superblock + 0x38, b"\x54"),
        "the external journal of another": (superblock + 0x60, b"\xca\x02\0\0"),
        "not cleanly unmounted": (superblock + 0x3A, b"\0\0"),
        "found errors .s_state 0x3": (superblock + 0x3A, b"\3\0"),
        "needs recovery": (superblock + 0x60, b"\xc6\x02\0\0"),
        "unsupported features: incompat 0x80000000": (superblock + 0x60, b"\xc2\x02\0\x80"),
        "invalid s_blocks_per_group 1": (superblock + 0x20, b"\1\0\0\0"),
        "invalid s_log_block_size 32": (superblock + 0x18, b"\x20\0\0\0"),
        "larger than its partition": (superblock + 0x04, b"\xff\xff\xff\x0f"),
        "outside the filesystem": (4096, b"\xff\xff\xff\0"),
        ", 1 in the superblock": (superblock + 0x0C, b"\1\0\0\0"),
        "1 in the descriptor": (4096 + 0x0C, b"\1\0"),
        "invalid s_journal_inum 9": (superblock + 0xE0, b"\x09\0\0\0"),
        "differs from its copy in s_jnl_blocks": (superblock + 0x10C + 20, b"\xff"),
    }
    for message, (offset, content) in cases.items():
        bad = tmp_path / "bad"
        shutil.copy(good, bad)
        corrupt(bad, offset, content)
        with pytest.raises(UntrustedMetadata, match=message):
            read(bad)


def test_every_checksum_is_asked(tmp_path: Path) -> None:
    good = tmp_path / "good"
    mke2fs(good, ["-t", "ext4", "-O", "metadata_csum,64bit", "-b", "4096"])
    fill(good, seed=5)
    debugfs(good, "jo -c -v 3", "jc")  # mke2fs leaves the journal without checksums
    text = debugfs(good, "stats", "imap <8>")
    bitmap = re.search(r"Group  0: block bitmap at (\d+)", text)
    inode = re.search(r"located at block (\d+), offset 0x([0-9a-f]+)", text)
    assert bitmap and inode
    journal = journal_of(good)[0][0]
    places = {
        "superblock": 1024 + 0x78,  # the volume's name
        "group descriptor 0": 4096 + 0x14,
        "block bitmap of group 0": int(bitmap[1]) * 4096 + 4000,
        "inode 8": int(inode[1]) * 4096 + int(inode[2], 16) + 0x08,
        "superblock of the journal": journal + 0x40,
    }
    for what, offset in places.items():
        bad = tmp_path / "bad"
        shutil.copy(good, bad)
        with bad.open("rb") as file:
            file.seek(offset)
            byte = file.read(1)[0]
        corrupt(bad, offset, bytes([byte ^ 1]))
        with pytest.raises(UntrustedMetadata, match=f"checksum of (the )?{what}"):
            read(bad)


def test_a_filesystem_that_was_in_use(tmp_path: Path) -> None:
    image = tmp_path / "image"
    mke2fs(image, ["-t", "ext2"])
    debugfs(image, "ssv state 0")
    with pytest.raises(NeedsRecovery, match="not cleanly unmounted"):
        read(image)
    mke2fs(image, ["-t", "ext4", "-O", "orphan_file"])
    debugfs(image, "feature orphan_present")
    with pytest.raises(NeedsRecovery, match="the orphan file is not empty"):
        read(image)


def test_a_bitmap_that_gives_metadata_away(tmp_path: Path) -> None:
    image = tmp_path / "image"
    mke2fs(image, ["-t", "ext2", "-O", "none", "-b", "4096"])
    bitmap = re.search(r"Group  0: block bitmap at (\d+)", debugfs(image, "stats"))
    assert bitmap
    place = int(bitmap[1]) * 4096
    with image.open("rb") as file:
        file.seek(place)
        byte = file.read(1)[0]
    corrupt(image, place, bytes([byte & ~2]))  # the first descriptor block
    with pytest.raises(UntrustedMetadata, match="marks metadata as free"):
        read(image)


def test_what_is_not_trusted_stays(tmp_path: Path) -> None:
    image = tmp_path / "image"
    mke2fs(image, ["-t", "ext4"])
    fill(image, seed=6)
    debugfs(image, "ssv state 0")
    content = image.read_bytes()
    report = sparsify(image)
    assert image.read_bytes() == content
    assert report.plan.survey.free == []
    assert "not cleanly unmounted" in report.notes[0]


def test_no_filesystem_at_all(tmp_path: Path) -> None:
    image = tmp_path / "image"
    content = os.urandom(1 << 20) + bytes(3 << 20) + os.urandom(1 << 20)
    image.write_bytes(content)
    report = sparsify(image)
    assert image.read_bytes() == content
    assert total(report.plan.zero) == 3 << 20
    assert allocated(image.stat()) <= report.before - (3 << 20)


@pytest.mark.loop
def test_an_external_journal(tmp_path: Path) -> None:
    image, journal = tmp_path / "image", tmp_path / "journal"
    mke2fs(journal, ["-O", "journal_dev", "-b", "4096"], size=16 << 20)
    with attached(journal) as device:
        mke2fs(image, ["-t", "ext4", "-b", "4096", "-J", f"device={device}"])
        files = fill(image, seed=7)
        found = read(image)
        assert found.free == oracle(image) and found.journal == []
        assert sparsify(image, verify=True).verified
        assert read_back(image, list(files)) == files
        point = tmp_path / "mounted"
        point.mkdir()
        run("mount", "-o", "loop", image, point)
        try:
            (point / "more").write_bytes(os.urandom(1 << 20))
            os.sync()
            shutil.copy(image, tmp_path / "dirty")
        finally:
            run("umount", point)
    # as after a crash: what the bitmaps say may be out of date
    assert "needs recovery" in sparsify(tmp_path / "dirty").notes[0]
    # and the journal itself belongs to a filesystem elsewhere
    before = journal.read_bytes()
    assert sparsify(journal).plan.survey.free == []
    assert journal.read_bytes() == before
