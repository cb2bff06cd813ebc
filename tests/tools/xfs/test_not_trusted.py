"""XFS that is not in order: nothing of it is free."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
from pathlib import Path

import pytest

from bootstrapvz_sparse.image.extents import union
from bootstrapvz_sparse.image.filesystems import UntrustedMetadata, xfs
from bootstrapvz_sparse.image.view import FileMap
from tests.support.unable import unable
from tests.support.xfs import (
    KINDS,
    NO_KIND,
    copy,
    get,
    read,
    refusal,
    write,
)
from tests.support.xfsprogs import (
    levels,
    make,
    numbers,
    xfs_db,
)

# commands of xfs_db, which keeps checksums right, and what is said then; names in braces are
# those of PLACES
BROKEN = {
    "unsupported sb_versionnum 0xb4a6": ["sb 0", "write -d versionnum 0xb4a6"],
    "invalid sb_sectsize 512, sb_sectlog 12": ["sb 0", "write -d sectlog 12"],
    "invalid sb_blocksize 4096, sb_blocklog 10": ["sb 0", "write -d blocklog 10"],
    "needs repair": ["sb 0", "write -d features_incompat 0x1b"],
    "incompat 0x100": ["sb 0", "write -d features_incompat 0x10b"],
    "ro_compat 0x10": ["sb 0", "write -d features_ro_compat 0x1f"],
    " compat 0x1": ["sb 0", "write -d features_compat 1"],
    "log_incompat 0x1": ["sb 0", "write -d features_log_incompat 1"],
    "version 0x200": ["sb 0", "write -d versionnum 0xb6a5"],
    "features2 0x10": ["sb 0", "write -d features2 0x19a"],
    "mkfs.xfs did not finish": ["sb 0", "write -d inprogress 1"],
    "invalid sb_agblklog 20": ["sb 0", "write -d agblklog 20"],
    "invalid sb_dblocks ": ["sb 0", "write -d agcount 3"],
    "sb_bad_features2 0x8a": ["sb 0", "write -d bad_features2 0x8a"],
    "larger than its partition": ["sb 0", "write -d agcount 200", "write -d dblocks 1638400"],
    "realtime": ["sb 0", "write -d rblocks 100"],
    "on another device": ["sb 0", "write -d logstart 0"],
    "the log lies outside the filesystem": ["sb 0", "write -d logblocks 9000"],
    "the superblock is newer than the log": ["sb 0", "write -d lsn 0x500000000"],
    "12 in the superblock": ["sb 0", "write -d fdblocks 12"],
    "group 1 has no AGF": ["agf 1", "write -d magicnum 0"],
    "group 1 has no AGF ": ["agf 1", "write -d versionnum 2"],
    "group 0 has no AGF": ["agf 0", "write -d seqno 1"],
    "group 0 has no AGF ": ["agf 0", "write -d length 8000"],
    "the AGF of group 0 belongs to another": ["agf 0", "write -d uuid rewrite"],
    "the AGF of group 0 is newer": ["agf 0", "write -d lsn 0x500000000"],
    "group 0 has no AGI": ["agi 0", "write -d seqno 1"],
    "the AGI of group 0 belongs to another": ["agi 0", "write -d uuid rewrite"],
    "group 0 has no AGFL": ["agfl 0", "write -d seqno 1"],
    "the AGFL of group 0 belongs to another": ["agfl 0", "write -d uuid rewrite"],
    "agf_flcount 2": ["agf 0", "write -d flcount 2"],
    "invalid AGFL of group 0: agf_flfirst 1000": ["agf 0", "write -d flfirst 1000"],
    "has 0 levels": ["agf 0", "write -d bnolevel 0"],
    "has 99 levels": ["agf 0", "write -d cntlevel 99"],
    "a tree of group 0 is broken": ["agf 0", "write -d bnolevel 2"],
    "a tree of group 0 lies outside it": ["agf 0", "write -d bnoroot 0x7fffffff"],
    "blocks are free in the trees, 5 in the AGF": ["agf 0", "write -d freeblks 5"],
    " and 5": ["agf 0", "write -d longest 5"],
    "agf_btreeblks is 1": ["agf 0", "write -d btreeblks 1"],
    "overlaps, or lies outside": [
        *("agfl 0", "write -d bno[{flfirst}] {root}", "write -d bno[{fllast}] {root}"),
    ],
    "overlaps, or lies outside ": ["agi 0", "write -d root {free_root}"],
    "overlaps, or lies outside  ": ["agi 0", "write -d root 0x7fffffff"],
}
# where this mkfs.xfs has put what others must not overlap
PLACES = ("agf 0", "p flfirst fllast", "agi 0", "p root free_root")
TREE = {  # of its first leaf by place, below the root, in group {group}
    "a tree of group {group} is broken": "magic 0x41423343",
    "a tree of group {group} is broken ": "level 1",
    "a tree of group {group} is broken  ": "numrecs 0",
    "a tree of group {group} is broken   ": "numrecs 60000",
    "a tree of group {group} is broken    ": "leftsib 1",
    "a tree of group {group} is broken     ": "rightsib 0xffffffff",
    "a tree of group {group} is broken      ": "bno 16",
    "a tree of group {group} is broken       ": "owner 7",
    "a tree of group {group} belongs to another": "uuid rewrite",
    "a tree of group {group} is newer": "lsn 0x500000000",
    "trees of group {group} do not agree": "recs[2].blockcount 77",
    "trees of group {group} do not agree ": "recs[2].startblock 77",
    "trees of group {group} do not agree  ": "numrecs 2",
}


@pytest.fixture(scope="module")
def fragmented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an image of version 5 with trees of two levels in one group."""
    if shutil.which("mkfs.xfs") is None:
        unable("xfsprogs is not there")
    image = tmp_path_factory.mktemp("fragmented") / "image"
    make(image, ["-b", "size=1024", "-d", "agcount=2", "-l", "agnum=0"], files=1500)
    assert sorted(levels(image).values()) == [1, 2]
    return image


def tall(image: Path) -> int:
    """Return the group with the higher trees: mkfs.xfs 6.1 fills group 1, and 6.13 group 0."""
    found = levels(image)
    return max(found, key=lambda group: found[group])


def other_uuid(command: str) -> str:
    return command.replace("rewrite", "01234567-89ab-cdef-0123-456789abcdef")


@pytest.mark.parametrize("message", BROKEN)
def test_not_trusted(message: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    make(bad, ["-b", "size=4096", "-d", "agcount=2"])
    places = numbers(bad, *PLACES)
    commands = [other_uuid(command).format(**places) for command in BROKEN[message]]
    xfs_db(bad, *commands, write=True)
    assert message.rstrip() in refusal(bad)


@pytest.mark.parametrize("message", TREE)
def test_a_tree_that_is_not_trusted(message: str, fragmented: Path, tmp_path: Path) -> None:
    bad = copy(fragmented, tmp_path / "bad")
    group = tall(bad)
    where = [f"agf {group}", "addr bnoroot", "addr ptrs[1]"]
    xfs_db(bad, *where, other_uuid(f"write -d {TREE[message]}"), write=True)
    assert message.rstrip().format(group=group) in refusal(bad)


@pytest.mark.parametrize(
    ("what", "commands"),
    [
        ("the superblock", ["sb 0"]),
        ("the AGF of group 0", ["agf 0"]),
        ("the AGI of group 1", ["agi 1"]),
        ("the AGFL of group 0", ["agfl 0"]),
        ("a tree of group {group}", ["agf {group}", "addr bnoroot"]),
        ("a tree of group {group}", ["agf {group}", "addr bnoroot", "addr ptrs[2]"]),
        ("a tree of group {group}", ["agf {group}", "addr cntroot", "addr ptrs[2]"]),
    ],
)
def test_every_checksum_is_asked(
    what: str, commands: list[str], fragmented: Path, tmp_path: Path
) -> None:
    bad = copy(fragmented, tmp_path / "bad")
    group = tall(bad)
    where = [command.format(group=group) for command in commands]
    address = re.search(r"daddr is (\d+)", xfs_db(bad, *where, "daddr"))
    assert address
    place = int(address[1]) * 512 + 500  # in no field that anything else looks at
    write(bad, place, bytes([get(bad, place, 1)[0] ^ 1]))
    assert refusal(bad) == f"wrong checksum of {what.format(group=group)}"


@pytest.mark.parametrize("kind", ["v5", "rmapbt", "v4", "v4, log version 1"])
def test_single_bits(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bit that is wrong, in all that is read, gives what was given before, or nothing."""
    image = tmp_path / "image"
    make(image, [*KINDS[kind], "-b", "size=1024"])
    asked = []
    pread = os.pread

    def noted(fd: int, length: int, offset: int) -> bytes:
        asked.append((offset, offset + length))
        return pread(fd, length, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", noted)
        free = read(image)
    chance = random.Random(kind)
    refused = 0
    for start, end in chance.choices(union(asked), k=600):
        place = chance.randrange(start, end)
        byte = get(image, place, 1)
        write(image, place, bytes([byte[0] ^ 1 << chance.randrange(8)]))
        try:
            assert read(image) == free
        except UntrustedMetadata:
            refused += 1
        write(image, place, byte)
    assert read(image) == free
    assert refused > (200 if "v4" not in kind else 10)


def test_truncated(tmp_path: Path) -> None:
    image, short = tmp_path / "image", tmp_path / "short"
    make(image, NO_KIND)
    size = image.stat().st_size
    chance = random.Random(1)
    copy(image, short)
    lengths = [4, 100, 511, 512, 513, 2048, *(chance.randrange(4096, size) for _ in range(20))]
    for length in sorted(lengths, reverse=True):
        os.truncate(short, length)
        assert refusal(short)
        # cut off behind the last metadata, and the partition table does not know
        with contextlib.suppress(UntrustedMetadata), short.open("rb") as file:
            assert xfs.find_free_space(FileMap(file.fileno(), size)).free == read(image)
    os.truncate(copy(image, short), size // 2)
    assert refusal(short, size).endswith("is beyond the image's end")


def test_nothing_that_is_no_xfs(tmp_path: Path) -> None:
    image = tmp_path / "image"
    for content in (b"", b"XFSB", b"XFSB" + bytes(4096), b"XFSB" * 1024):
        image.write_bytes(content)
        assert refusal(image)
