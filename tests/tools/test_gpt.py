"""GPTs that sfdisk wrote, of both sector sizes, and damaged ones."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from bootstrapvz_sparse.image.gpt import GptTable, UntrustedTable, read_gpt, sector_size
from bootstrapvz_sparse.image.view import FileMap

from .guarded import LINUX, MIB, ROOT, Part, blank, gpt, run

SIZE = 64 * MIB
PARTS = (Part(1 * MIB, 20 * MIB, ROOT), Part(24 * MIB, 30 * MIB))


def _read(image: Path) -> GptTable:
    with image.open("rb") as file:
        return read_gpt(FileMap(file.fileno(), os.fstat(file.fileno()).st_size))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    image = blank(tmp_path / "disk.raw", SIZE)
    gpt(image, *PARTS)
    return image


def _grow_sectors(image: Path) -> None:
    """Make the image's GPT one of 4096-byte sectors, as on a disk that has them."""
    raw = bytearray(image.read_bytes())
    units = [(1, 1024), (SIZE // 512 - 1, SIZE - 33 * 512)]
    parts = [struct.unpack_from("<16s16sQQQ72s", raw, 1024 + 128 * i) for i in range(len(PARTS))]
    entries = b"".join(
        struct.pack("<16s16sQQQ72s", *p[:2], p[2] // 8, (p[3] + 1) // 8 - 1, *p[4:]) for p in parts
    ).ljust(128 * 128, b"\0")
    last = SIZE // 4096 - 1
    header = struct.unpack_from("<8sIIIIQQQQ16sQIII", raw, 512)
    assert units[0][0] == header[5]
    raw[512:17408] = bytes(17408 - 512)
    raw[SIZE - 33 * 512 :] = bytes(33 * 512)
    for lba, other, entries_at in ((1, last, 2), (last, 1, last - 4)):
        fields = [*header[:3], 0, 0, lba, other, 6, last - 5, header[9], entries_at, 128, 128]
        whole = struct.pack("<8sIIIIQQQQ16sQIII", *fields, zlib.crc32(entries))
        whole = whole[:16] + struct.pack("<I", zlib.crc32(whole)) + whole[20:]
        raw[lba * 4096 : lba * 4096 + len(whole)] = whole
        raw[entries_at * 4096 : entries_at * 4096 + len(entries)] = entries
    image.write_bytes(raw)


def test_reads_what_sfdisk_reads(image: Path) -> None:
    table = _read(image)
    assert table.sector == 512
    shown = json.loads(run("sfdisk", "--json", image).stdout)["partitiontable"]
    assert [(p.start // 512, (p.end - p.start) // 512, p.type_code) for p in table.partitions] == [
        (p["start"], p["size"], p["type"]) for p in shown["partitions"]
    ]
    assert [(p.start, p.end - p.start, p.type_code) for p in table.partitions] == list(PARTS)
    first, last = shown["firstlba"] * 512, (shown["lastlba"] + 1) * 512
    assert table.reserved == ((0, first), (last, SIZE))


def test_reads_4096_byte_sectors(image: Path) -> None:
    _grow_sectors(image)
    lines = run("fdisk", "--sector-size", 4096, "--list", image).stdout
    assert "Disklabel type: gpt" in lines and "GPT PMBR" not in lines.splitlines()[-1]
    table = _read(image)
    assert table.sector == 4096
    assert [(p.start, p.end - p.start, p.type_code) for p in table.partitions] == list(PARTS)
    for part in PARTS:
        assert f"{part.start // 4096} {(part.start + part.size) // 4096 - 1} " in " ".join(
            lines.split()
        )


def test_sees_both_sector_sizes(image: Path) -> None:
    with image.open("r+b") as file:
        os.pwrite(file.fileno(), b"EFI PART", 4096)
    with pytest.raises(UntrustedTable, match="two GPTs"):
        _read(image)


def test_has_no_sector_size_without_a_table(tmp_path: Path) -> None:
    with blank(tmp_path / "disk.raw", SIZE).open("rb") as file:
        assert sector_size(FileMap(file.fileno(), SIZE)) == 0


def test_allows_a_grown_image(image: Path) -> None:
    os.truncate(image, 2 * SIZE)
    assert _read(image).reserved[1][1] == 2 * SIZE


@pytest.mark.parametrize("missing", [1, 512, 4096, 33 * 512, 20 * MIB, 63 * MIB])
def test_tells_a_cut_off_image(image: Path, missing: int) -> None:
    os.truncate(image, SIZE - missing)
    reason = f"the backup GPT is missing: the image was cut off \\({SIZE - missing} bytes of {SIZE}"
    with pytest.raises(UntrustedTable, match=reason):
        _read(image)


def _set(offset: int, raw: bytes) -> Callable[[Path], None]:
    def change(image: Path) -> None:
        with image.open("r+b") as file:
            os.pwrite(file.fileno(), raw, offset % SIZE)

    return change


def _hybrid(image: Path) -> None:
    _set(462, struct.pack("<4xB3xII", 0x83, 2048, 4096))(image)


PRIMARY = [
    (_set(512 + 40, b"\1"), "the primary GPT is damaged: wrong checksum of the header"),
    (_set(512 + 12, b"\1"), "the primary GPT is damaged: a header of 1 bytes"),
    (_set(1024 + 40, b"\1"), "the primary GPT is damaged: wrong checksum of the entries"),
]
BACKUP = [_set(-512, bytes(8)), _set(-512 - 30 * 512, b"\1")]


@pytest.mark.parametrize("change", [*(change for change, _ in PRIMARY), *BACKUP])
def test_reads_the_good_copy(image: Path, change: Callable[[Path], None]) -> None:
    whole = _read(image)
    change(image)
    assert _read(image) == whole


@pytest.mark.parametrize(("change", "reason"), PRIMARY)
def test_refuses_damage_of_both(image: Path, change: Callable[[Path], None], reason: str) -> None:
    change(image)
    BACKUP[0](image)
    with pytest.raises(UntrustedTable, match=reason):
        _read(image)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_set(512, bytes(8)), "the primary GPT is missing"),
        (_set(510, bytes(2)), "the protective MBR is missing"),
        (_set(450, b"\x83"), "the MBR has a partition that is not in the GPT"),
        (_hybrid, "the MBR has a partition that is not in the GPT"),
    ],
)
def test_refuses_damage(image: Path, change: Callable[[Path], None], reason: str) -> None:
    change(image)
    with pytest.raises(UntrustedTable, match=reason):
        _read(image)


def test_refuses_copies_that_differ(tmp_path: Path, image: Path) -> None:
    other = blank(tmp_path / "other.raw", SIZE)
    gpt(other, PARTS[0], PARTS[1]._replace(type_code=LINUX, size=8 * MIB))
    _set(-33 * 512, other.read_bytes()[-33 * 512 :])(image)
    with pytest.raises(UntrustedTable, match="the primary and the backup GPT differ"):
        _read(image)
