"""Files of other formats, made by the programs that write them."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from bootstrapvz_sparse.image.formats import foreign_format, reject_foreign_format
from bootstrapvz_sparse.image.view import FileMap
from bootstrapvz_sparse.util.errors import InvalidImage

from .guarded import MIB, Part, blank, gpt, need, run

PACKERS = {
    "gz": ["gzip", "-kf"],
    "xz": ["xz", "-kf", "-0"],
    "lzma": ["xz", "-kf", "-0", "--format=lzma"],
    "zst": ["zstd", "-kqf"],
    "bz2": ["bzip2", "-kf"],
    "lz4": ["lz4", "-kqf", "-m"],
}


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    disk = blank(tmp_path / "disk.raw", 16 * MIB)
    gpt(disk, Part(1 * MIB, 8 * MIB))
    return disk


def _rejected(path: Path) -> str:
    with path.open("rb") as file, pytest.raises(InvalidImage) as caught:
        reject_foreign_format(FileMap(file.fileno(), os.fstat(file.fileno()).st_size), path)
    return str(caught.value)


def _remedy(message: str) -> list[str]:
    return shlex.split(message[message.index("(") + 1 : -1].partition(": ")[2])


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("qcow2", ""),
        ("qcow2", "compat=0.10"),
        ("qcow2", "data_file_raw=on,data_file=DATA"),
        ("qcow", ""),
        ("qed", ""),
        ("vdi", ""),
        ("vdi", "static=on"),
        ("vhdx", ""),
        ("vhdx", "subformat=fixed"),
        ("vpc", "subformat=dynamic"),
        ("vmdk", "subformat=monolithicSparse"),
        ("vmdk", "subformat=monolithicFlat"),
        ("vmdk", "subformat=twoGbMaxExtentSparse"),
        ("vmdk", "subformat=streamOptimized"),
        ("parallels", ""),
    ],
)
def test_rejects_disk_images(disk: Path, format: str, options: str) -> None:
    need("qemu-img")
    made = disk.with_name("made.image")
    options = options.replace("DATA", str(disk.with_name("data")))
    done = run(
        *("qemu-img", "convert", "-O", format, *(["-o", options] if options else []), disk, made),
        check=False,
    )
    if done.returncode:
        pytest.skip(done.stderr)
    message = _rejected(made)
    assert message.startswith(f"{made}: a") and "not a raw disk (convert it: qemu-img" in message
    run(*_remedy(message))
    content = disk.read_bytes()
    raw = made.with_suffix(".raw").read_bytes()
    assert raw[: len(content)] == content  # a vhd is rounded up to whole cylinders


@pytest.mark.parametrize("suffix", PACKERS)
def test_rejects_packed_disks(disk: Path, suffix: str) -> None:
    need(PACKERS[suffix][0])
    run(*PACKERS[suffix], disk)
    packed = disk.with_name(f"disk.raw.{suffix}")
    content = disk.read_bytes()
    disk.unlink()
    message = _rejected(packed)
    assert "file, not a raw disk (unpack it: " in message
    subprocess.run(message[message.index("(") + 1 : -1].partition(": ")[2], shell=True, check=True)
    assert disk.read_bytes() == content


@pytest.mark.parametrize(
    ("name", "command", "found"),
    [
        ("made.tar", "tar -cSf made.tar disk.raw", "a tar archive"),
        ("made.tar", "tar --format=posix -cSf made.tar disk.raw", "a tar archive"),
        ("made.zip", "zip -q made.zip disk.raw", "a zip archive"),
        ("made.7z", "7z a -bso0 made.7z disk.raw", "a 7z archive"),
        ("made.simg", "img2simg disk.raw made.simg", "an Android sparse image"),
        ("made.cpio", "echo disk.raw | cpio --quiet -o -H newc > made.cpio", "a cpio archive"),
        ("made.a", "ar rc made.a disk.raw", "an ar archive"),
        ("made.zst", "printf 'P*M\\030\\4\\0\\0\\0abcd' > made.zst", "a zstd file"),
    ],
)
def test_rejects_archives(disk: Path, name: str, command: str, found: str) -> None:
    need(command.split()[0] if "|" not in command else "cpio")
    subprocess.run(command, shell=True, check=True, cwd=disk.parent)
    assert f"{name}: {found}, not a raw disk" in _rejected(disk.with_name(name))


def test_the_command_never_overwrites_the_image(disk: Path) -> None:
    need("qemu-img")
    run("qemu-img", "create", "-f", "qcow2", disk, "1M")
    message = _rejected(disk)
    assert message.endswith(f"-O raw {disk} {disk.with_name('disk-unpacked.raw')})")


def test_quotes_names(disk: Path) -> None:
    run("qemu-img", "create", "-f", "qcow2", disk.with_name("a b.qcow2"), "1M")
    assert str(disk.with_name("a b.raw")) in _remedy(_rejected(disk.with_name("a b.qcow2")))


@pytest.mark.parametrize(
    "make",
    [
        "mke2fs -qF disk.raw",
        "mkfs.btrfs -qf --mixed disk.raw",
        "mkfs.vfat disk.raw",
        "mkswap disk.raw",
        "qemu-img convert -O vpc -o subformat=fixed disk.raw x && mv x disk.raw",
        "truncate -s 0 disk.raw",
        "truncate -s 100 disk.raw",
        "echo label: dos | sfdisk -q --wipe always disk.raw",
        "true",
    ],
)
def test_accepts_raw_disks(disk: Path, make: str) -> None:
    subprocess.run(make, shell=True, check=True, cwd=disk.parent, stdout=subprocess.DEVNULL)
    with disk.open("rb") as file:
        assert foreign_format(FileMap(file.fileno(), os.fstat(file.fileno()).st_size)) is None
