"""The ext reader and the journal: its log, its inode, its checksums. Needs no root."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bootstrapvz_sparse.image.extents import total, union
from bootstrapvz_sparse.image.filesystems import NeedsRecovery, UntrustedMetadata
from tests.support.e2fsprogs import debugfs, mend
from tests.support.ext import fill, journal_of, mke2fs, put, read
from tests.support.unable import unable


@pytest.fixture(autouse=True)
def e2fsprogs() -> None:
    if shutil.which("mke2fs") is None:
        unable("e2fsprogs is not there")


KINDS = {
    "ext3": ["-t", "ext3"],
    "ext4": ["-t", "ext4"],
    "ext3 of 1 KiB blocks": ["-t", "ext3", "-b", "1024"],
    "no checksums": ["-t", "ext4", "-O", "^metadata_csum,uninit_bg"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_log_of_a_clean_journal(kind: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    mke2fs(image, KINDS[kind])
    fill(image, seed=4)
    journal = read(image).journal
    assert total(journal) > 1 << 20
    listed = journal_of(image)
    # listed are the superblock of the journal too, and the blocks that point to its blocks
    assert union(journal, listed) == listed
    assert total(listed) - total(journal) <= 32 * 1024


@pytest.mark.parametrize("version", [2, 3])
def test_a_journal_with_checksums(version: int, tmp_path: Path) -> None:
    image = tmp_path / "image"
    mke2fs(image, ["-t", "ext4", "-O", "metadata_csum"])
    without = read(image)
    debugfs(image, f"jo -c -v {version}", "jc")
    text = subprocess.run(["dumpe2fs", "-h", image], capture_output=True, text=True).stdout
    assert f"journal_checksum_v{version}" in text
    assert read(image) == without


def test_a_journal_of_an_unknown_checksum(tmp_path: Path) -> None:
    image = tmp_path / "image"
    mke2fs(image, ["-t", "ext4", "-b", "4096", "-O", "metadata_csum"])
    debugfs(image, "jo -c -v 3", "jc")
    with pytest.raises(UntrustedMetadata, match="unsupported s_checksum_type 1 of the journal"):
        read(put(image, journal_of(image)[0][0] + 0x50, b"\1"))


@pytest.mark.parametrize(
    ("offset", "content", "message"),
    [
        (0x00, b"\0", r"no journal superblock \(h_magic 0x003b3998\)"),
        (0x07, b"\1", r"no journal superblock \(h_blocktype 1\)"),
        (0x0E, b"\x08", r"invalid s_blocksize 2048 of the journal \(expected 4096\)"),
        (0x10, b"\1", r"the journal has \d+ blocks, its s_maxlen is 1677"),
        (0x20, b"\xff\xff\xff\xfb", r"the journal recorded an error \(s_errno -5\)"),
        (0x28, b"\1", "unsupported features of the journal: incompat 0x1000000, ro_compat 0x0"),
        (0x2C, b"\1", "unsupported features of the journal: incompat 0x0, ro_compat 0x1000000"),
    ],
)
def test_a_journal_that_is_not_trusted(
    offset: int, content: bytes, message: str, tmp_path: Path
) -> None:
    image = tmp_path / "image"
    mke2fs(image, ["-t", "ext4", "-b", "4096", "-O", "^metadata_csum,^uninit_bg"])
    with pytest.raises(UntrustedMetadata, match=message):
        read(put(image, journal_of(image)[0][0] + offset, content))


def journal_inode(path: Path) -> int:
    found = re.search(r"located at block (\d+), offset 0x(\w+)", debugfs(path, "imap <8>"))
    size = re.search(r"^Block size:\s+(\d+)", debugfs(path, "stats"), re.M)
    assert found and size
    return int(found[1]) * int(size[1]) + int(found[2], 16)


def in_pieces(path: Path, features: str) -> None:
    """Make an ext4 with a journal whose extent tree has more levels than the inode holds."""
    mke2fs(path, ["-t", "ext4", "-b", "1024", "-O", f"^has_journal,{features}"], size=16 << 20)
    source = path.parent / "source"
    source.write_bytes(b"x" * 20480)
    names = [f"f{i}" for i in range(600)]
    debugfs(path, *(f"write {source} {name}" for name in names))
    debugfs(path, *(f"rm {name}" for name in names[::2]))
    subprocess.run(["tune2fs", "-j", "-J", "size=4", path], check=True, capture_output=True)
    mend(path)


@pytest.mark.parametrize("features", ["metadata_csum", "^metadata_csum,uninit_bg"])
def test_a_journal_in_pieces(features: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    in_pieces(image, features)
    inode = journal_inode(image)
    depth = image.read_bytes()[inode + 0x28 + 6]
    assert depth == 1
    journal, listed = read(image).journal, journal_of(image)
    assert len(journal) > 50
    assert union(journal, listed) == listed
    assert total(listed) - total(journal) <= 4096
    leaf = int.from_bytes(image.read_bytes()[inode + 0x28 + 12 + 4 :][:4], "little") * 1024
    message = "wrong checksum of an extent tree" if features == "metadata_csum" else "invalid ext"
    with pytest.raises(UntrustedMetadata, match=message):
        read(put(image, leaf + 12, b"\xff"))  # ee_block of the first extent
    with pytest.raises(UntrustedMetadata, match=r"invalid extent header .* eh_depth 5"):
        read(put(image, leaf + 6, b"\5"))


def test_an_inode_of_the_journal_that_is_not_trusted(tmp_path: Path) -> None:
    image = tmp_path / "image"
    in_pieces(image, "^metadata_csum,uninit_bg")
    # s_jnl_backup_type: without the copy in the superblock, to reach the inode's own tree
    debugfs(image, "ssv jnl_backup_type 0")
    tree = journal_inode(image) + 0x28
    with pytest.raises(UntrustedMetadata, match=r"invalid extent header .* eh_magic 0x0"):
        read(put(image, tree, b"\0\0"))
    with pytest.raises(UntrustedMetadata, match="block 4294967295 is outside the filesystem"):
        read(put(image, tree + 12 + 4, b"\xff" * 4))
    with pytest.raises(UntrustedMetadata, match="the journal has no blocks"):
        read(put(image, tree - 8, bytes(4 + 4 + 60)))  # i_flags: a block map, of no blocks


def test_a_journal_with_a_hole(tmp_path: Path) -> None:
    image = tmp_path / "image"
    mke2fs(image, ["-t", "ext3", "-b", "1024"])
    debugfs(image, "ssv jnl_backup_type 0")
    indirect = image.read_bytes()[journal_inode(image) + 0x28 + 4 * 12 :][:4]
    with pytest.raises(UntrustedMetadata, match="the journal has a hole"):
        read(put(image, int.from_bytes(indirect, "little") * 1024, bytes(4)))


def test_a_journal_on_metadata(tmp_path: Path) -> None:
    image = tmp_path / "image"
    options = ["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,^uninit_bg", "-J", "size=1"]
    mke2fs(image, options, size=8 << 20)
    debugfs(image, "ssv jnl_backup_type 0")
    found = re.search(r"Group  0: .*inode table at (\d+)", debugfs(image, "stats"))
    assert found
    tree = journal_inode(image) + 0x28
    extents = image.read_bytes()[tree : tree + 24]
    first = int.from_bytes(extents[20:24], "little")
    # the first block stays the superblock; the rest lies on the inode table
    two = extents[:2] + b"\2\0" + extents[4:12]
    two += (0).to_bytes(4, "little") + b"\1\0\0\0" + first.to_bytes(4, "little")
    two += (1).to_bytes(4, "little") + b"\xff\3\0\0" + int(found[1]).to_bytes(4, "little")
    with pytest.raises(UntrustedMetadata, match="the journal overlaps other metadata"):
        read(put(image, tree, two))


def test_a_bitmap_that_gives_the_journal_away(tmp_path: Path) -> None:
    image = tmp_path / "image"
    mke2fs(image, ["-t", "ext4", "-b", "4096", "-O", "^metadata_csum,^uninit_bg"])
    text = debugfs(image, f"freeb {journal_of(image)[-1][1] // 4096 - 1}", "stats")
    # the counts of the group and of the filesystem are not those of the bitmap any more
    for pattern, command in (
        (r"^\s+(\d+) free blocks", "set_bg 0 free_blocks_count"),
        (r"^Free blocks:\s+(\d+)", "ssv free_blocks_count"),
    ):
        count = re.search(pattern, text, re.M)
        assert count
        debugfs(image, f"{command} {int(count[1]) + 1}")
    with pytest.raises(UntrustedMetadata, match="mark journal blocks as free"):
        read(image)


def test_a_journal_with_a_transaction(tmp_path: Path) -> None:
    image, block = tmp_path / "image", tmp_path / "block"
    mke2fs(image, ["-t", "ext4", "-b", "4096"])
    block.write_bytes(bytes(4096))
    free = read(image).free[-1][0] // 4096
    debugfs(image, "jo", f"jw -b {free} {block}", "jc")
    with pytest.raises(NeedsRecovery, match="the journal needs recovery"):
        read(image)
    # the flag alone is lost, as in a copy that began before the guest mounted it
    debugfs(image, "feature -needs_recovery")
    with pytest.raises(NeedsRecovery, match=r"the journal is not empty \(s_start 1\)"):
        read(image)
