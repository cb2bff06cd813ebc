"""No block that could be a hole is left, in images whose filesystems were mounted and used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bootstrapvz_sparse.image import sparsify
from tests.support.independent import assert_nothing_wasted, wasted
from tests.support.mounting import mounted, run
from tests.support.msdos import SECTOR, write_table

pytestmark = pytest.mark.loop
MIB = 1 << 20


def use(folder: Path) -> None:
    """Write files of data and of zeros, and delete every other one."""
    for number in range(60):
        (folder / f"f{number}").write_bytes(os.urandom(300_000))
        (folder / f"small{number}").write_bytes(os.urandom(100))
    (folder / "zeros").write_bytes(bytes(4 * MIB))
    (folder / "mixed").write_bytes((bytes(20_000) + os.urandom(20_000)) * 50)
    os.sync()  # or nothing of the files to be deleted would reach the image
    for number in range(0, 60, 2):
        (folder / f"f{number}").unlink()
        (folder / f"small{number}").unlink()


def used(folder: Path) -> Path:
    """An image of one filesystem, whose journal has been in use."""
    with mounted("ext4", folder, 96 * MIB) as point:
        use(point)
    return folder / "image-ext4"


def test_a_used_filesystem(tmp_path: Path) -> None:
    image = used(tmp_path)
    before = len(wasted(image, 0))
    assert before > 3000
    report = sparsify(image)
    assert report.notes == ()
    assert report.before - report.after >= before * 4096
    assert_nothing_wasted(image, 0)


def test_the_check_finds_what_is_left(tmp_path: Path) -> None:
    image = used(tmp_path)
    sparsify(image, min_hole=MIB)
    assert wasted(image, 0)


@pytest.mark.parametrize("sector", [64 * MIB // SECTOR, 64 * MIB // SECTOR + 63])
@pytest.mark.parametrize("block", [1024, 4096])
def test_two_partitions(sector: int, block: int, tmp_path: Path) -> None:
    image, point = tmp_path / "image", tmp_path / "point"
    point.mkdir()
    first, second, size = MIB, sector * SECTOR, 128 * MIB
    with image.open("wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))
    write_table(image, (first, second), (second, size))
    for start, end in ((first, second), (second, size)):
        place = [f"{(end - start) // 1024}k"]
        kind = ["-t", "ext4", "-b", str(block), "-E", f"nodiscard,offset={start}"]
        run("mke2fs", "-q", "-F", *kind, image, *place)
        run("mount", "-o", f"loop,offset={start},sizelimit={end - start}", image, point)
        try:
            use(point)
        finally:
            run("umount", point)
    report = sparsify(image)
    assert report.notes == ()
    assert report.after < size // 2
    assert_nothing_wasted(image, first, second)
    for start in (first, second):
        run("e2fsck", "-fn", f"{image}?offset={start}")
