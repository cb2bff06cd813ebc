"""The on-disk structures against the tools of each filesystem, field by field. Needs no root."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from bootstrapvz_sparse.image.filesystems.ext import structs as ext
from bootstrapvz_sparse.image.filesystems.on_disk import Layout
from bootstrapvz_sparse.image.filesystems.xfs import structs as xfs

VALUES = {"B": 0x12, "H": 0x1234, "I": 0x12345678, "Q": 0x123456789ABCDEF0}
UUID = "01234567-89ab-cdef-0123-456789abcdef"


def int_fields(record: type, without: tuple[str, ...] = ()) -> list[tuple[str, int]]:
    """The fields that are numbers, each with a value that fills it."""
    return [
        (name, VALUES[hint.__metadata__[1]])
        for name, hint in record.__annotations__.items()
        if hint.__metadata__[1] in VALUES and name not in without
    ]


def read(path: Path, layout: Layout[NamedTuple], offset: int) -> dict[str, object]:
    with path.open("rb") as file:
        return layout.unpack(os.pread(file.fileno(), layout.size, offset))._asdict()


@pytest.fixture(scope="module")
def ext4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ext4 of 4 KiB blocks and 64-byte descriptors."""
    image = tmp_path_factory.mktemp("ext4") / "image"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    options = ["-t", "ext4", "-b", "4096", "-O", "64bit,^metadata_csum,^uninit_bg"]
    subprocess.run(["mke2fs", "-q", "-F", *options, image], check=True)
    return image


def set_field(image: Path, copy: Path, command: str) -> Path:
    shutil.copy(image, copy)
    done = subprocess.run(["debugfs", "-w", "-R", command, copy], capture_output=True, text=True)
    assert not done.stderr.partition("\n")[2], done.stderr  # the first line is its version
    return copy


@pytest.mark.parametrize(
    ("name", "value"),
    int_fields(ext.ext4_super_block, without=("s_magic", "s_checksum")),
)
def test_ext4_super_block(name: str, value: int, ext4: Path, tmp_path: Path) -> None:
    shown = re.sub(r"_bgs_(\d)$", r"_bgs[\1]", name[2:])
    image = set_field(ext4, tmp_path / "image", f"ssv {shown} {value}")
    assert read(image, ext.SUPER_BLOCK, 1024)[name] == value


def test_ext4_super_block_arrays(ext4: Path, tmp_path: Path) -> None:
    image = set_field(ext4, tmp_path / "image", f"ssv uuid {UUID}")
    assert read(image, ext.SUPER_BLOCK, 1024)["s_uuid"] == bytes.fromhex(UUID.replace("-", ""))
    for index in (0, 16):
        image = set_field(ext4, tmp_path / "image", f"ssv jnl_blocks[{index}] {0x12345678}")
        blocks = read(image, ext.SUPER_BLOCK, 1024)["s_jnl_blocks"]
        assert isinstance(blocks, bytes)
        assert blocks[4 * index : 4 * index + 4] == b"\x78\x56\x34\x12"


@pytest.mark.parametrize(("name", "value"), int_fields(ext.ext4_group_desc))
def test_ext4_group_desc(name: str, value: int, ext4: Path, tmp_path: Path) -> None:
    image = set_field(ext4, tmp_path / "image", f"set_bg 0 {name[3:]} {value}")
    assert read(image, ext.group_desc(64), 4096)[name] == value


@pytest.mark.parametrize(
    ("name", "shown"),
    [("i_flags", "flags"), ("i_generation", "generation"), ("i_extra_isize", "extra_isize")],
)
def test_ext4_inode(name: str, shown: str, ext4: Path, tmp_path: Path) -> None:
    found = re.search(
        r"located at block (\d+), offset 0x(\w+)",
        subprocess.run(
            ["debugfs", "-R", "imap <8>", ext4], capture_output=True, text=True, check=True
        ).stdout,
    )
    assert found
    image = set_field(ext4, tmp_path / "image", f"sif <8> {shown} 0x1234")
    place = int(found[1]) * 4096 + int(found[2], 16)
    assert read(image, ext.INODE, place)[name] == 0x1234


XFS_NAMES = {  # of xfs_db, where they are not the kernel's
    "agf_bno_root": "bnoroot",
    "agf_cnt_root": "cntroot",
    "agf_rmap_root": "rmaproot",
    "agf_bno_level": "bnolevel",
    "agf_cnt_level": "cntlevel",
    "agf_rmap_blocks": "rmapblocks",
    "agf_refcount_root": "refcntroot",
    "bb_blkno": "bno",
}
XFS = {  # structure: layout, commands that lead to it
    "xfs_dsb": (xfs.DSB, ["sb 0"]),
    "xfs_agf": (xfs.AGF, ["agf 1"]),
    "xfs_agi": (xfs.AGI, ["agi 1"]),
    "xfs_agfl": (xfs.AGFL, ["agfl 1"]),
    "xfs_btree_block": (xfs.BTREE_BLOCK, ["agf 1", "addr bnoroot"]),
}


@pytest.fixture(scope="module")
def xfs_v5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An XFS of version 5 with all of its trees."""
    image = tmp_path_factory.mktemp("xfs") / "image"
    with image.open("wb") as file:
        file.truncate(320 << 20)
    subprocess.run(["mkfs.xfs", "-q", "-m", "rmapbt=1,reflink=1", image], check=True)
    return image


def xfs_db(image: Path, *commands: str) -> str:
    return subprocess.run(
        ["xfs_db", "-x", image],
        input="\n".join([*commands, ""]),
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("structure", XFS)
def test_xfs(structure: str, xfs_v5: Path) -> None:
    layout, commands = XFS[structure]
    daddr = re.search(r"daddr is (\d+)", xfs_db(xfs_v5, *commands, "daddr"))
    assert daddr
    place = int(daddr[1]) * 512
    with xfs_v5.open("rb") as file:
        before = os.pread(file.fileno(), layout.size, place)
    for name, value in int_fields(getattr(xfs, structure)):
        shown = XFS_NAMES.get(name, name.split("_", 1)[1])
        xfs_db(xfs_v5, *commands, f"write -d {shown} {value:#x}")
        assert read(xfs_v5, layout, place)[name] == value, name
        with xfs_v5.open("r+b") as file:
            os.pwrite(file.fileno(), before, place)
    prefix = structure.replace("xfs_d", "xfs_").replace("xfs_btree_block", "xfs_bb")[4:]
    for shown in ("uuid", *(["meta_uuid"] if prefix == "sb" else [])):
        xfs_db(xfs_v5, *commands, f"write -d {shown} {UUID}")
        found = read(xfs_v5, layout, place)[f"{prefix}_{shown}"]
        assert found == bytes.fromhex(UUID.replace("-", "")), shown
        with xfs_v5.open("r+b") as file:
            os.pwrite(file.fileno(), before, place)
    crc = re.search(r"^crc = 0x(\w+)", xfs_db(xfs_v5, *commands, "p crc"), re.M)
    assert crc
    assert read(xfs_v5, layout, place)[f"{prefix}_crc"] == bytes.fromhex(crc[1].zfill(8))
