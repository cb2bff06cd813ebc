"""Partition tables as sfdisk makes them, and such as nobody should believe. Needs no root."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrapvz_sparse.image import sparsify
from bootstrapvz_sparse.image.access import opened
from bootstrapvz_sparse.image.blkid import Signature
from bootstrapvz_sparse.image.extents import allocated, total
from bootstrapvz_sparse.image.filesystems import FreeSpace
from bootstrapvz_sparse.image.partitions import (
    SECTOR,
    Partition,
    Table,
    read,
)
from tests.support.e2fsprogs import check, debugfs
from tests.support.ext import fill, mke2fs, read_back
from tests.support.mounting import mounted, run
from tests.support.unable import unable

MIB = 1 << 20


@pytest.fixture(autouse=True)
def programs() -> None:
    for program in ("sfdisk", "blkid", "mke2fs", "mkswap"):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            unable(f"{program} is not there")


def partitioned(path: Path, script: str, size: int = 96 * MIB) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    subprocess.run(["sfdisk", "--quiet", path], input=script, text=True, check=True)
    return path


def table(path: Path) -> Table:
    with opened(path, write=False) as image:
        return read(image.fd, image.size)._replace(signature=Signature())


def put(path: Path, content: Path, sector: int) -> None:
    run("dd", f"if={content}", f"of={path}", f"seek={sector}", "bs=512", "conv=notrunc")


def places(found: Table) -> list[tuple[int, int, int]]:
    return [(p.number, p.start // SECTOR, p.end // SECTOR) for p in found.partitions]


LOGICAL = """label: dos
start=2048, size=20480, type=83
start=30720, size=100000, type=5
start=32768, size=20480, type=83, bootable
start=55296, size=20480, type=82
"""


def test_msdos_with_logical_partitions(tmp_path: Path) -> None:
    found = table(partitioned(tmp_path / "image", LOGICAL))
    assert found.label == "dos" and not found.skip_reason
    # the extended one is no partition but the place of two
    assert places(found) == [(1, 2048, 22528), (5, 32768, 53248), (6, 55296, 75776)]
    assert not any(p.skip_reason for p in found.partitions)


def test_gpt(tmp_path: Path) -> None:
    path = partitioned(tmp_path / "image", 'label: gpt\nsize=20480, name="röot"\n size=20480\n')
    found = table(path)
    assert found.label == "gpt" and not found.skip_reason
    assert places(found) == [(1, 2048, 22528), (2, 22528, 43008)]
    assert found.partitions[0].name == "röot"


@pytest.mark.parametrize("label", ["dos", "gpt"])
def test_what_lies_in_partitions(label: str, tmp_path: Path) -> None:
    path = partitioned(tmp_path / "image", f"label: {label}\nsize=40960\nsize=20480\n,\n")
    mke2fs(tmp_path / "ext", ["-t", "ext3"], size=20 * MIB)
    swap = tmp_path / "swap"
    swap.write_bytes(os.urandom(10 * MIB))
    run("mkswap", swap)
    put(path, tmp_path / "ext", 2048)
    put(path, swap, 43008)
    assert [p.filesystem for p in table(path).partitions] == ["ext3", "swap", ""]


def test_no_table_but_the_code_of_a_boot_loader(tmp_path: Path) -> None:
    path = tmp_path / "image"
    mke2fs(path, ["-t", "ext4"])
    with path.open("r+b") as file:
        file.write(b"\xeb\x58" + b"code of extlinux" * 31 + b"\xfe\x02\xb2\x3e\x18\x37")
        file.seek(510)
        file.write(b"\x55\xaa")
    assert table(path) == Table("none", (Partition(0, 0, 96 * MIB, filesystem="ext4"),))


def test_a_stale_filesystem_below_a_table(tmp_path: Path) -> None:
    """Partitioned after mkfs on the whole disk: the superblock is still there, and of no worth."""
    path = tmp_path / "image"
    mke2fs(path, ["-t", "ext4"])
    script = "label: dos\nstart=2048, size=20480\n"
    subprocess.run(["sfdisk", "-q", "--wipe=never", path], input=script, text=True, check=True)
    found = table(path)
    assert found.label == "dos" and places(found) == [(1, 2048, 22528)]
    with path.open("r+b") as file:
        file.seek(50 * MIB)  # which the stale bitmaps call free
        file.write(content := os.urandom(MIB))
    assert sparsify(path).plan.survey.free == []
    assert path.read_bytes()[50 * MIB : 51 * MIB] == content


def corrupt(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def entry(start: int, size: int, type: int = 0x83) -> bytes:
    return struct.pack("<4xB3xII", type, start, size)


@pytest.mark.parametrize(
    ("entries", "troubles"),
    [
        ([entry(2048, 1 << 31)], ["it ends beyond the image"]),
        ([entry(0xFFFFFFFF, 0xFFFFFFFF)], ["it ends beyond the image"]),
        ([entry(0, 4096)], ["it overlaps the partition table"]),
        (
            [entry(2048, 20480), entry(20000, 20480)],
            ["it overlaps another partition", "it overlaps another partition"],
        ),
        (
            [entry(2048, 20480), entry(20000, 20480, 5)],
            ["it overlaps the partition table"],
        ),
        ([entry(2048, 20480), entry(40960, 20480)], ["", ""]),
    ],
)
def test_msdos_tables_that_lie(entries: list[bytes], troubles: list[str], tmp_path: Path) -> None:
    path = partitioned(tmp_path / "image", "label: dos\nstart=2048,size=8\n")
    corrupt(path, 446, b"".join(entries).ljust(64, b"\0"))
    assert [p.skip_reason for p in table(path).partitions] == troubles


def test_a_logical_partition_over_the_chain(tmp_path: Path) -> None:
    path = partitioned(tmp_path / "image", LOGICAL)
    # the first logical partition grows over the record of the second, which lies 2048 before it
    corrupt(path, 30720 * SECTOR + 446, entry(2048, 30000))
    troubles = [p.skip_reason for p in table(path).partitions]
    assert troubles[0] == "" and "overlaps" in troubles[1]


def test_a_logical_partition_of_no_size(tmp_path: Path) -> None:
    """sfdisk says so before it prints the table, on the same channel."""
    path = partitioned(tmp_path / "image", LOGICAL)
    corrupt(path, 30720 * SECTOR + 446, entry(2048, 0))
    assert table(path) == Table("unknown", skip_reason="sfdisk: omitting empty partition (5)")


def test_a_logical_partition_that_sfdisk_ignores(tmp_path: Path) -> None:
    """The kernel sees two of them in one record."""
    path = partitioned(tmp_path / "image", LOGICAL)
    corrupt(path, 30720 * SECTOR + 446 + 16, entry(24576, 2048))
    assert table(path) == Table(
        "unknown", skip_reason="sfdisk: Ignoring extra data in partition table 5."
    )


@pytest.mark.parametrize(
    ("place", "content"),
    [
        (446 + 16, entry(30720, 0, 5)),  # the extended one has no size
        (30720 * SECTOR + 446 + 16, entry(24576 - 2048, 0, 5)),  # the link to the second has none
        (30720 * SECTOR + 446, entry(0xFFFFFFFF, 2048)),  # 32 or 64 bits: two opinions
    ],
)
def test_chains_that_are_read_in_two_ways(place: int, content: bytes, tmp_path: Path) -> None:
    path = partitioned(tmp_path / "image", LOGICAL)
    corrupt(path, place, content)
    assert table(path) == Table("unknown", skip_reason="the chain of logical partitions is damaged")


def test_an_extended_partition_without_logical_ones(tmp_path: Path) -> None:
    path = partitioned(tmp_path / "image", "".join(LOGICAL.splitlines(keepends=True)[:3]))
    assert places(table(path)) == [(1, 2048, 22528)]


def test_a_primary_partition_within_the_extended_one(tmp_path: Path) -> None:
    path = partitioned(tmp_path / "image", LOGICAL)
    corrupt(path, 446 + 32, entry(80000, 2048))
    troubles = {p.number: p.skip_reason for p in table(path).partitions}
    assert troubles == {1: "", 3: "it overlaps the extended partition", 5: "", 6: ""}


def test_a_chain_without_end(tmp_path: Path) -> None:
    path = partitioned(tmp_path / "image", LOGICAL)
    corrupt(path, 30720 * SECTOR + 446 + 16, entry(0, 20480, 5))  # refers to itself
    table(path)


@pytest.mark.parametrize(
    ("damage", "trouble"),
    [
        ([(512, b"EFI TRAP"), (96 * MIB - 512, b"EFI TRAP")], "the primary GPT is missing"),
        ([(1024, b"\xff" * 16), (96 * MIB - 33 * 512, b"\xff" * 16)], "damaged"),
        ([(1024, b"\xff" * 16)], ""),  # the copy at the end is good
        ([(96 * MIB - 512, b"EFI TRAP")], ""),
    ],
)
def test_gpt_that_is_damaged(damage: list[tuple[int, bytes]], trouble: str, tmp_path: Path) -> None:
    path = partitioned(tmp_path / "image", "label: gpt\nsize=20480\n")
    for offset, content in damage:
        corrupt(path, offset, content)
    found = table(path)
    assert trouble in found.skip_reason
    assert places(found) == ([] if trouble else [(1, 2048, 22528)])


def test_a_gpt_with_right_checksums_and_an_entry_without_a_start(tmp_path: Path) -> None:
    path = partitioned(tmp_path / "image", "label: gpt\nsize=20480\n")
    raw = bytearray(path.read_bytes())
    for header, entries in ((512, 1024), (len(raw) - 512, len(raw) - 33 * 512)):
        struct.pack_into("<Q", raw, entries + 128 + 32, 2**64 - 1)
        struct.pack_into("<I", raw, header + 88, zlib.crc32(raw[entries : entries + 128 * 128]))
        struct.pack_into("<I", raw, header + 16, 0)
        struct.pack_into("<I", raw, header + 16, zlib.crc32(raw[header : header + 92]))
    path.write_bytes(raw)
    assert table(path) == Table("unknown", skip_reason="partition 2 has a start but no type")


def test_the_place_of_grub_is_no_cause_for_a_remark(tmp_path: Path) -> None:
    """bootstrap-vz begins a GPT with it; it has no filesystem, and its zeros may be holes."""
    mke2fs(tmp_path / "ext", ["-t", "ext4"], size=40 * MIB)
    bios_boot = "21686148-6449-6E6F-744E-656564454649"
    path = partitioned(tmp_path / "image", f"label: gpt\nsize=2048, type={bios_boot}\nsize=81920\n")
    put(path, tmp_path / "ext", 4096)
    corrupt(path, 1 * MIB, b"core image")
    run("cp", "--sparse=never", path, tmp_path / "whole")
    report = sparsify(tmp_path / "whole", verify=True)
    assert report.notes == ()
    assert [bool(region.skip_reason) for region in report.plan.survey.regions] == [False, False]
    assert report.plan.survey.regions[0].free_space == FreeSpace()
    with (tmp_path / "whole").open("rb") as file:
        file.seek(1 * MIB)
        assert file.read(10) == b"core image"
    assert report.after < 4 * MIB


def test_other_tables_are_unknown(tmp_path: Path) -> None:
    path = partitioned(tmp_path / "image", "label: sun\n")
    assert table(path).label == "unknown"
    assert "sun" in table(path).skip_reason


def test_empty_table_is_unknown(tmp_path: Path) -> None:
    path = partitioned(tmp_path / "image", "label: dos\n")
    assert table(path) == Table("unknown", skip_reason="the partition table is empty")


def test_filesystem_below_an_empty_table(tmp_path: Path) -> None:
    """The end of boot code looks like one; the kernel finds no partition there."""
    path = tmp_path / "image"
    mke2fs(path, ["-t", "ext4"])
    corrupt(path, 510, b"\x55\xaa")
    assert table(path).label == "none"
    assert sparsify(path).plan.survey.free


@pytest.mark.parametrize("start", [1, 63, 2048])
def test_alignment(start: int, tmp_path: Path) -> None:
    """Holes are correct wherever the partition begins; what that costs is told."""
    mke2fs(tmp_path / "ext", ["-t", "ext4", "-b", "4096"], size=40 * MIB)
    files = fill(tmp_path / "ext", seed=start)
    path = partitioned(tmp_path / "image", f"label: dos\nstart={start}, size={40 * MIB // 512}\n")
    put(path, tmp_path / "ext", start)
    run("cp", "--sparse=never", path, tmp_path / "whole")
    report = sparsify(tmp_path / "whole", verify=True)
    [share, _] = report.plan.shares()
    lost = share.amounts()["lost"]
    assert lost == 0 if start == 2048 else 0 < lost < MIB
    assert len(report.verified) == 2 and not report.notes
    # what is left: bytes in use and what is lost
    in_use = sum(share.amounts()["in use"] for share in report.plan.shares())
    assert report.after <= in_use + lost + 64 * 1024
    run("dd", f"if={tmp_path / 'whole'}", f"of={tmp_path / 'ext'}", "bs=512", f"skip={start}")
    with (tmp_path / "ext").open("r+b") as file:
        file.truncate(40 * MIB)
    assert read_back(tmp_path / "ext", list(files)) == files
    assert check(tmp_path / "ext") == ""


@pytest.mark.loop
def test_a_system_of_several_partitions(tmp_path: Path) -> None:
    """Boot, swap and a root of xfs; each is checked, and each can lose what it does not need."""
    script = f"label: gpt\nsize=40960\nsize=32768\nsize={320 * MIB // 512}\n"
    path = partitioned(tmp_path / "image", script, size=400 * MIB)
    mke2fs(tmp_path / "boot", ["-t", "ext2"], size=20 * MIB)
    files = fill(tmp_path / "boot", seed=9)
    (tmp_path / "swap").write_bytes(os.urandom(16 * MIB))
    run("mkswap", tmp_path / "swap")
    with mounted("xfs", tmp_path, 320 * MIB) as root:
        (root / "kept").write_bytes(kept := os.urandom(3 * MIB))
        (root / "gone").write_bytes(os.urandom(50 * MIB))
        os.sync()
        (root / "gone").unlink()
    for name, sector in (("boot", 2048), ("swap", 43008), ("image-xfs", 75776)):
        put(path, tmp_path / name, sector)
    report = sparsify(path, verify=True)
    boot, swap, root_, _ = report.plan.shares()
    assert boot.amounts()["free"] > MIB and swap.amounts()["swap"] == 16 * MIB - 4096
    assert root_.amounts()["free"] > 200 * MIB
    assert "partition 3: xfs checks clean" in report.verified
    assert report.after < 26 * MIB
    run("dd", f"if={path}", f"of={tmp_path / 'boot'}", "bs=1M", "skip=1", "count=20")
    assert read_back(tmp_path / "boot", list(files)) == files
    with mounted_at(path, 75776 * SECTOR, 320 * MIB, tmp_path / "again") as root:
        assert (root / "kept").read_bytes() == kept


@contextlib.contextmanager
def mounted_at(image: Path, offset: int, size: int, point: Path) -> Iterator[Path]:
    point.mkdir()
    run("mount", "-o", f"loop,ro,offset={offset},sizelimit={size}", image, point)
    try:
        yield point
    finally:
        run("umount", point)


def test_swap(tmp_path: Path) -> None:
    path = tmp_path / "swap"
    path.write_bytes(os.urandom(8 * MIB))
    run("mkswap", path)
    header = path.read_bytes()[:4096]
    report = sparsify(path)
    assert total(report.plan.survey.free) == 8 * MIB - 4096
    assert path.read_bytes() == header + bytes(8 * MIB - 4096)
    assert allocated(path.stat()) <= 8192


@pytest.mark.parametrize(
    ("offset", "content"),
    [
        (4086, b"S1SUSPEND\0"),  # a machine hibernated into it
        (1024, b"\0\0\0\1"),  # of a machine of the other byte order
        (1028, b"\xff\xff\xff\x7f"),  # larger than the file
        (1028, b"\0\0\0\0"),
    ],
)
def test_swap_that_is_left_alone(offset: int, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "swap"
    path.write_bytes(os.urandom(8 * MIB))
    run("mkswap", path)
    corrupt(path, offset, content)
    before = path.read_bytes()
    assert "left alone" in sparsify(path).notes[0]
    assert path.read_bytes() == before


@pytest.mark.parametrize("start", [1, 2048])
def test_alignment_that_costs_much_is_remarked(start: int, tmp_path: Path) -> None:
    """Each second block of 4 KiB free: none of them lies on a whole block of the file below."""
    mke2fs(tmp_path / "ext", ["-t", "ext2", "-b", "4096"], size=40 * MIB)
    names = [f"f{number}" for number in range(2000)]
    (tmp_path / "content").write_bytes(b"x" * 4096)
    debugfs(tmp_path / "ext", *(f"write {tmp_path / 'content'} {name}" for name in names))
    debugfs(tmp_path / "ext", *(f"rm {name}" for name in names[::2]))
    path = partitioned(tmp_path / "image", f"label: dos\nstart={start}, size={40 * MIB // 512}\n")
    put(path, tmp_path / "ext", start)
    notes = sparsify(path).notes
    if start == 2048:
        assert notes == ()
    else:
        [note] = notes
        assert re.fullmatch(
            r"\d\.\d MiB of unused space cannot be punched: partition 1 starts at byte 512, "
            r"off the block grid \(align partitions to 1 MiB\)",
            note,
        )
