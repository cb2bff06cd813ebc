"""The XFS reader against xfsprogs and the kernel, over file systems of many kinds."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from bootstrapvz_sparse.image.holes import punch
from tests.support.mounting import run
from tests.support.xfs import (
    KINDS,
    LARGE,
    NO_KIND,
    V5,
    churn,
    mount,
    read,
)
from tests.support.xfsprogs import (
    clean,
    free_ranges,
    levels,
    make,
    mkfs,
    numbers,
    xfs_db,
)


@pytest.mark.parametrize("kind", KINDS)
def test_free_blocks_are_those_of_xfs_db(kind: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    make(image, KINDS[kind], size=(600 if kind in LARGE else 64) << 20)
    free = read(image)
    assert free == free_ranges(image)
    assert len(free) > 20


@pytest.mark.loop
@pytest.mark.parametrize("kind", V5)
def test_what_the_kernel_leaves(kind: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    mkfs(image, V5[kind], 64 << 20)
    assert read(image) == free_ranges(image)
    chance = random.Random(kind)
    for size in ("32k", "256k"):
        if "256 KiB" in kind and size == "32k":
            continue
        with mount(image, f"logbsize={size}") as point:
            churn(point, chance)
        assert read(image) == free_ranges(image)
        assert clean(image)


@pytest.mark.parametrize(
    ("options", "files", "highest"),
    [
        (["-m", "crc=0", "-b", "size=512", "-d", "agcount=2"], 6000, 3),
        (["-m", "crc=0", "-b", "size=512", "-l", "lazy-count=0", "-d", "agcount=2"], 3000, 2),
        (["-b", "size=1024", "-m", "rmapbt=1", "-d", "agcount=2"], 3000, 2),
    ],
)
def test_trees_of_several_levels(
    options: list[str], files: int, highest: int, tmp_path: Path
) -> None:
    image = tmp_path / "image"
    make(image, options, files=files)
    assert max(levels(image).values()) == highest
    assert read(image) == free_ranges(image)


@pytest.mark.loop
def test_trees_that_the_kernel_grew(tmp_path: Path) -> None:
    image = tmp_path / "image"
    mkfs(image, ["-b", "size=1024", "-d", "agcount=1"], 64 << 20)
    with mount(image) as point:
        for i in range(4000):
            (point / str(i)).write_bytes(bytes(1000))
        run("sync", "--file-system", point)
        for i in range(0, 4000, 2):
            (point / str(i)).unlink()
    assert numbers(image, "agf 0", "p bnolevel cntlevel") == {"bnolevel": 2, "cntlevel": 2}
    free = read(image)
    assert free == free_ranges(image)
    assert len(free) > 1000


@pytest.mark.parametrize("start", [512, 1 << 20])
def test_a_filesystem_within_an_image(start: int, tmp_path: Path) -> None:
    image, inner = tmp_path / "image", tmp_path / "inner"
    make(inner, [])
    image.write_bytes(os.urandom(start) + inner.read_bytes() + os.urandom(4096))
    assert read(image, start) == [(start + a, start + b) for a, b in free_ranges(inner)]


def test_a_full_group(tmp_path: Path) -> None:
    image = tmp_path / "image"
    make(image, NO_KIND)
    sb = numbers(image, "sb 0", "p fdblocks")
    agf = numbers(image, "agf 1", "p freeblks")
    xfs_db(
        image,
        *("agf 1", "write -d freeblks 0", "write -d longest 0"),
        *("addr bnoroot", "write -d numrecs 0", "agf 1", "addr cntroot", "write -d numrecs 0"),
        *("sb 0", f"write -d fdblocks {sb['fdblocks'] - agf['freeblks']}"),
        write=True,
    )
    end = numbers(image, "sb 0", "p agblocks")["agblocks"] * 4096
    assert read(image)
    assert read(image)[-1][1] <= end


@pytest.mark.loop
@pytest.mark.parametrize("kind", ["v5", "rmapbt", "1 KiB blocks", "log of 32 KiB units"])
def test_nothing_is_lost(kind: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    mkfs(image, V5[kind], 64 << 20)
    with mount(image) as point:
        churn(point, random.Random(kind))
        before = {file.name: file.read_bytes() for file in point.glob("d*/*")}
    free = read(image)
    with image.open("r+b") as file:
        for start, end in free:
            file.seek(start)
            file.write(os.urandom(end - start))  # zeros could pass for what was there
        file.flush()
        assert clean(image)
        for start, end in free:
            punch(file.fileno(), start, end)
    assert clean(image)
    assert read(image) == free
    with mount(image) as point:
        assert {file.name: file.read_bytes() for file in point.glob("d*/*")} == before
        churn(point, random.Random(1))
    assert clean(image)
