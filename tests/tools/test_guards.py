"""The guards over images that real tools made."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

import pytest

from bootstrapvz_sparse.image.gpt import read_gpt
from bootstrapvz_sparse.image.view import FileMap

from .guarded import LINUX, MIB, ROOT, ROOT_VERITY, Part, blank, gpt, judged, need, place, run

DATA = Part(1 * MIB, 64 * MIB, ROOT)
HASHES = Part(65 * MIB, 8 * MIB, ROOT_VERITY)
END = 74 * MIB


def _ext(path: Path, size: int = DATA.size, *options: object) -> Path:
    run("mke2fs", "-q", "-F", "-t", "ext4", *options, blank(path, size))
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image of one ext4 partition."""
    image = blank(tmp_path / "disk.raw", END)
    gpt(image, DATA)
    place(image, _ext(tmp_path / "data"), DATA.start)
    return image


def _write(image: Path, offset: int, raw: bytes) -> None:
    with image.open("r+b") as file:
        file.seek(offset)
        file.write(raw)


def test_allows_a_clean_image(image: Path) -> None:
    assert judged(image, DATA) == ("", {})


@pytest.mark.parametrize("system", ["ext4", "xfs", "btrfs"])
def test_allows_a_clean_whole_filesystem(tmp_path: Path, system: str) -> None:
    need(f"mkfs.{system}")
    image = blank(tmp_path / "disk.raw", 320 * MIB)
    run(f"mkfs.{system}", "-q", image)
    assert judged(image) == ("", {})


# hash trees


def _veritysetup(data: Path, hashes: Path, *options: object) -> None:
    need("veritysetup")
    run("veritysetup", "format", *options, data, hashes)


@pytest.mark.parametrize("code", [ROOT_VERITY, LINUX], ids=["verity type", "any type"])
@pytest.mark.parametrize("superblock", [True, False], ids=["superblock", "no superblock"])
def test_sees_hash_tree_in_another_partition(tmp_path: Path, code: str, superblock: bool) -> None:
    data, hashes = _ext(tmp_path / "data"), blank(tmp_path / "hashes", HASHES.size)
    _veritysetup(data, hashes, *([] if superblock else ["--no-superblock", "--salt=1234"]))
    image = blank(tmp_path / "disk.raw", END)
    gpt(image, DATA, HASHES._replace(type_code=code))
    place(image, data, DATA.start)
    place(image, hashes, HASHES.start)
    verdict = judged(image, DATA, HASHES._replace(type_code=code))
    assert "verity" in verdict.everything


@pytest.mark.parametrize("superblock", [True, False], ids=["superblock", "no superblock"])
@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
def test_sees_hash_tree_behind_filesystem(tmp_path: Path, superblock: bool, algorithm: str) -> None:
    size = 32 * MIB
    data = _ext(tmp_path / "data", size)
    os.truncate(data, DATA.size)
    options = [f"--hash-offset={size}", f"--data-blocks={size // 4096}", f"--hash={algorithm}"]
    _veritysetup(data, data, *options, *([] if superblock else ["--no-superblock", "--salt=1234"]))
    image = blank(tmp_path / "disk.raw", END)
    gpt(image, DATA)
    place(image, data, DATA.start)
    verdict = judged(image, DATA)
    assert "hash tree" in verdict.everything
    assert verdict.everything.endswith("behind the filesystem of partition 1")
    assert verdict.partitions == {1: "bytes behind the filesystem's end are in use"}


def test_sees_hash_tree_outside_the_partitions(tmp_path: Path, image: Path) -> None:
    hashes = blank(tmp_path / "hashes", 1 * MIB)
    _veritysetup(tmp_path / "data", hashes)
    place(image, hashes, 70 * MIB)
    assert judged(image, DATA).everything == "a dm-verity hash tree lies outside the partitions"


def test_sees_hash_tree_behind_other_data(tmp_path: Path, image: Path) -> None:
    hashes = blank(tmp_path / "hashes", HASHES.size)
    _veritysetup(tmp_path / "data", hashes, f"--hash-offset={5 * MIB + 4096}")
    place(image, hashes, HASHES.start)
    _write(image, HASHES.start + 4096, b"text that is not random\n" * 200_000)
    verdict = judged(image, DATA, HASHES._replace(type_code=LINUX))
    assert verdict.everything == "a dm-verity hash tree lies in partition 2"


@pytest.mark.parametrize("system", ["ext4", "xfs", "btrfs", "vfat", "exfat", "f2fs", "swap"])
def test_sees_bytes_behind_filesystem(tmp_path: Path, system: str) -> None:
    program = "mkswap" if system == "swap" else f"mkfs.{system}"
    need(program)
    size = 320 * MIB
    image = blank(tmp_path / "disk.raw", size)
    run(program, image)
    os.truncate(image, size + 4 * MIB)
    assert judged(image) == ("", {})
    with image.open("r+b") as file:  # zeros that are allocated
        os.pwrite(file.fileno(), bytes(3 * MIB), size)
    assert judged(image) == ("", {})
    _write(image, size + 3 * MIB, b"x")
    assert judged(image).partitions == {0: "bytes behind the filesystem's end are in use"}


@pytest.mark.parametrize("place_of_magic", ["start", "end of partition", "end of image"])
def test_sees_android_verified_boot(tmp_path: Path, image: Path, place_of_magic: str) -> None:
    """Struct AvbFooter: magic, version_major, version_minor, original_image_size, vbmeta_*."""
    footer = struct.pack(">4sIIQQQ28x", b"AVBf", 1, 0, DATA.size, DATA.size, 1024)
    extra = HASHES._replace(type_code=LINUX)
    offset, raw = {
        "start": (extra.start, b"AVB0" + struct.pack(">II", 1, 0)),
        "end of partition": (DATA.start + DATA.size - 64, footer),
        "end of image": (END - 64, footer),
    }[place_of_magic]
    _write(image, offset, raw)
    assert "Android Verified Boot" in judged(image, DATA, extra).everything


def test_sees_integrity_checksums(tmp_path: Path, image: Path) -> None:
    need("integritysetup")
    extra = HASHES._replace(type_code=LINUX)
    # drivers/md/dm-integrity.c, struct superblock: magic, version
    _write(image, extra.start, b"integrt\0\4")
    assert judged(image, DATA, extra).everything == "partition 2 holds dm-integrity checksums"


# other owners


@pytest.mark.parametrize(
    ("name", "offset", "raw"),
    [
        ("jfs", 32768, b"JFS1" + struct.pack("<IQIHHIHHI", 1, 2**17, 4096, 12, 3, 512, 9, 0, 8192)),
        ("gfs2", 65536, struct.pack(">IIQIIIIII", 0x01161970, 1, 0, 100, 0, 1801, 1900, 0, 0)),
        ("zfs", 128 << 10, struct.pack("<QQQQQ", 0x00BAB10C, 5000, 100, 7, 1700000000)),
        ("reiserfs", 65536, struct.pack("<12xI28xH6x", 18, 4096) + b"ReIsEr2Fs"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_sees_second_filesystem(tmp_path: Path, name: str, offset: int, raw: bytes) -> None:
    need("mke2fs")
    image = blank(tmp_path / "disk.raw", 64 * MIB)
    run("mke2fs", "-q", "-F", "-t", "ext2", "-b", 4096, "-O", "^resize_inode", image)
    for label in (0, 256 << 10) if name == "zfs" else (0,):
        for shift in range(0, 8192, 1024) if name == "zfs" else (0,):
            _write(image, label + offset + shift, raw)
        if name == "zfs":
            _write(image, label + (16 << 10), _zfs_config(state=0, txg=100, pool_guid=7, guid=9))
    assert judged(image).partitions == {0: "several filesystems claim it"}


def _zfs_config(**numbers: int) -> bytes:
    """Return an nvlist in XDR, by which libblkid 2.41 knows a member of a pool: sys/nvpair.h."""
    packed = struct.pack(">4B2I", 1, 1, 0, 0, 0, 1)  # NV_ENCODE_XDR, endian, version, nvflag
    for name, number in numbers.items():
        padded = name.encode() + bytes(-len(name) % 4)
        size = 4 * 5 + len(padded) + 8
        packed += struct.pack(">3I", size, size, len(name)) + padded
        packed += struct.pack(">2IQ", 8, 1, number)  # DATA_TYPE_UINT64, one of them
    return packed + bytes(8)


@pytest.mark.parametrize("size", [1 * MIB, 64 * MIB], ids=["tiny", "usual"])
@pytest.mark.parametrize("version", ["0.90", "1.0", "1.1", "1.2"])
def test_sees_raid_member(tmp_path: Path, version: str, size: int) -> None:
    """Magic of linux/raid/md_p.h at the places that md(4) gives."""
    image = _ext(tmp_path / "disk.raw", size)
    offset = {"0.90": size - (64 << 10), "1.0": size - 8192, "1.1": 0, "1.2": 4096}[version]
    _write(image, offset, struct.pack("<I", 0xA92B4EFC))
    assert "member of an array" in judged(image).partitions[0]


def test_sees_drbd_metadata(tmp_path: Path) -> None:
    need("drbdmeta")
    image = _ext(tmp_path / "disk.raw", 60 * MIB)
    os.truncate(image, 64 * MIB)
    run("drbdmeta", "--force", "0", "v08", image, "internal", "create-md")
    assert judged(image).partitions == {0: "it is replicated by DRBD"}


@pytest.mark.parametrize("system", ["ext4", "xfs", "btrfs", "vfat", "exfat", "ntfs", "swap"])
def test_sees_table_above_whole_filesystem(tmp_path: Path, system: str) -> None:
    program = "mkswap" if system == "swap" else f"mkfs.{system}"
    need(program)
    image = blank(tmp_path / "disk.raw", 320 * MIB)
    run(program, *(["--quick", "--force"] if system == "ntfs" else []), image)
    run("sfdisk", "--quiet", "--wipe=never", image, text="label: dos\nstart=2048")
    verdict = judged(image, Part(1 * MIB, 319 * MIB, "83"))
    assert verdict.everything == f"a partition table (dos) and {system} both claim the whole image"


@pytest.mark.parametrize(
    ("kind", "offset", "raw"),
    [
        ("bcachefs", 4096 + 24, bytes.fromhex("c68573f666ce90a9d96a60cf803df7ef")),
        ("scoutfs", 65536 + 4, struct.pack("<I", 0x103C428B)),
        ("cs_fvault2", 8, b"\1\0\x10\0" + bytes(76) + b"CS"),
    ],
)
def test_sees_table_above_filesystem_unknown_to_blkid(
    image: Path, kind: str, offset: int, raw: bytes
) -> None:
    _write(image, offset, raw)
    expected = f"a partition table and {kind} both claim the whole image"
    assert judged(image, DATA).everything == expected


def test_sees_partitioned_array_member(image: Path) -> None:
    """A mirror of version 1.0 shows its table: md_p.h, struct mdp_superblock_1."""
    place_of_superblock = (END & ~0xFFF) - 8192
    raw = bytearray(struct.pack("<IIII", 0xA92B4EFC, 1, 0, 0) + bytes(240))
    struct.pack_into("<IIQIII", raw, 72, 1, 0, END // 512 - 16, 0, 2, 0)  # level, layout, size, ..
    struct.pack_into("<QQQ", raw, 128, 0, END // 512 - 16, place_of_superblock // 512)
    total = sum(struct.unpack("<64I", raw))
    struct.pack_into("<I", raw, 216, (total & 0xFFFFFFFF) + (total >> 32))  # sb_csum
    _write(image, place_of_superblock, bytes(raw))
    expected = "a partition table (PMBR) and linux_raid_member both claim the whole image"
    assert judged(image, DATA).everything == expected


# guests that were not shut down


def _patch(image: Path, offset: int, *, set_bits: int = 0, clear: int = 0) -> None:
    with image.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte & ~clear | set_bits]))


@pytest.mark.parametrize(
    ("system", "offset", "set_bits", "clear"),
    [
        ("ext4", 1024 + 0x60, 4, 0),  # s_feature_incompat, needs_recovery
        ("ext2", 1024 + 0x3A, 0, 1),  # s_state, valid
        ("btrfs", 65536 + 0x60, 1, 0),  # log_root
        ("vfat", 65, 1, 0),  # BS_Reserved1
        ("exfat", 106, 2, 0),  # VolumeFlags
        ("f2fs", 512 * 4096 + 132, 0, 1),  # ckpt_flags
        ("jfs", 32768 + 40, 1, 0),  # s_state
        ("reiserfs", 65536 + 50, 2, 1),  # s_umount_state
        ("nilfs2", 1024 + 116, 0, 1),  # s_state
    ],
)
def test_sees_filesystem_in_use(
    tmp_path: Path, system: str, offset: int, set_bits: int, clear: int
) -> None:
    need(f"mkfs.{system}")
    options = {"reiserfs": ["-ff"], "jfs": ["-q"], "vfat": ["-F", "32"], "ext2": ["-F"]}
    guest, swap = Part(1 * MIB, 320 * MIB), Part(321 * MIB, 4 * MIB)
    made = blank(tmp_path / "made", guest.size)
    run(f"mkfs.{system}", *options.get(system, []), made)
    image = blank(tmp_path / "disk.raw", 326 * MIB)
    gpt(image, guest, swap)
    place(image, made, guest.start)
    run("mkswap", blank(tmp_path / "swap", swap.size))
    place(image, tmp_path / "swap", swap.start)
    assert judged(image, guest, swap) == ("", {})
    _patch(image, guest.start + offset, set_bits=set_bits, clear=clear)
    assert judged(image, guest, swap).everything.startswith("partition 1 was copied in use")


def test_sees_filesystem_in_use_on_a_mirror(tmp_path: Path) -> None:
    need("drbdmeta")
    mirror, swap = Part(1 * MIB, 64 * MIB), Part(65 * MIB, 4 * MIB)
    made = _ext(tmp_path / "made", 60 * MIB)
    os.truncate(made, mirror.size)
    run("drbdmeta", "--force", "0", "v08", made, "internal", "create-md")
    image = blank(tmp_path / "disk.raw", 70 * MIB)
    gpt(image, mirror, swap)
    place(image, made, mirror.start)
    assert judged(image, mirror, swap) == ("", {1: "it is replicated by DRBD"})
    _patch(image, mirror.start + 1024 + 0x60, set_bits=4)
    assert judged(image, mirror, swap).everything.startswith("partition 1 was copied in use")


def test_sees_verity_of_systemd_repart(tmp_path: Path) -> None:
    need("veritysetup")
    if shutil.which("systemd-repart") is None:  # in Debian 12 a part of systemd
        pytest.skip("systemd-repart is not installed")
    for name, kind, verity in (("1", "root", "data"), ("2", "root-verity", "hash")):
        size = 64 if verity == "data" else 8
        text = f"Type={kind}\nVerity={verity}\nVerityMatchKey=root\nSizeMinBytes={size}M\n"
        text += f"SizeMaxBytes={size}M\n" + ("Format=ext4\n" if verity == "data" else "")
        (tmp_path / f"{name}.conf").write_text(f"[Partition]\n{text}")
    image = tmp_path / "disk.raw"
    options = ["--empty=create", "--size=auto", f"--definitions={tmp_path}", "--dry-run=no"]
    run("systemd-repart", *options, image)
    with image.open("rb") as file:
        table = read_gpt(FileMap(file.fileno(), image.stat().st_size))
    parts = [Part(p.start, p.end - p.start, p.type_code) for p in table.partitions]
    hashes = next(i for i, part in enumerate(parts, start=1) if part.size == 8 * MIB)
    assert judged(image, *parts).everything == f"partition {hashes} is of a dm-verity type"
    untyped = [part._replace(type_code=LINUX) for part in parts]
    assert judged(image, *untyped).everything == f"partition {hashes} holds a dm-verity hash tree"


def test_believes_the_reader_of_a_log(image: Path) -> None:
    verdict = judged(image, DATA, dirty=["its log has to be replayed"])
    assert verdict.everything == "partition 1 was copied in use (ext4: its log has to be replayed)"


def test_sees_dirty_ntfs(tmp_path: Path) -> None:
    need("mkntfs")
    image = blank(tmp_path / "disk.raw", 64 * MIB)
    run("mkntfs", "--quick", "--force", image)
    assert judged(image) == ("", {})
    raw = image.read_bytes()
    record = raw.index(b"FILE0", raw.index(b"FILE0") + 3 * 1024)
    value = raw.index(struct.pack("<I", 0x70), record)
    _patch(image, value + raw[value + 20] + 10, set_bits=1)
    assert judged(image).everything == "the image was copied in use (ntfs: it was not unmounted)"


@pytest.mark.parametrize("page", [4096, 65536])
@pytest.mark.parametrize(
    "magic",
    [
        *(b"S1SUSPEND\0", b"S2SUSPEND\0", b"ULSUSPEND\0", b"LINHIB0001"),
        bytes.fromhex("edc302e99856e50c"),
    ],
)
def test_sees_hibernated_swap(tmp_path: Path, image: Path, page: int, magic: bytes) -> None:
    swap = HASHES._replace(type_code=LINUX)
    run("mkswap", "--pagesize", page, blank(tmp_path / "swap", swap.size))
    place(image, tmp_path / "swap", swap.start)
    assert judged(image, DATA, swap) == ("", {})
    _write(image, swap.start + page - 10, magic)
    expected = "partition 2 holds the memory of a suspended guest"
    assert judged(image, DATA, swap).everything == expected
