"""Damage that no reader can see: consistent metadata that calls blocks of files free."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import pytest

from bootstrapvz_sparse.image import sparsify
from bootstrapvz_sparse.image.extents import total
from bootstrapvz_sparse.image.filesystems import ext
from bootstrapvz_sparse.image.view import FileMap
from bootstrapvz_sparse.image.zerofree import zerofree
from bootstrapvz_sparse.util import programs
from bootstrapvz_sparse.util.errors import ProgramMissing
from tests.support.e2fsprogs import debugfs
from tests.support.mounting import run
from tests.support.xfsprogs import make as make_xfs

SIZE, BLOCK = 32 << 20, 4096
WITHOUT_CHECKSUMS = ["-O", "^metadata_csum,^uninit_bg"]


def make(path: Path, *options: str) -> Path:
    """An ext4 filesystem of one group, with files, half of which are gone again."""
    with path.open("wb") as file:
        file.truncate(SIZE)
    run("mke2fs", "-q", "-F", "-t", "ext4", "-b", str(BLOCK), *options, path)
    add(path, "early")
    return path


def add(path: Path, name: str) -> None:
    source = path.parent / name
    source.write_bytes(random.Random(name).randbytes(2 << 20))
    commands = [f"write {source} {name}{number}" for number in range(4)]
    debugfs(path, *commands, f"rm {name}0", f"rm {name}2")


def trusted(path: Path) -> bool:
    """Return whether the reader finds free space: it raises where it does not trust."""
    with path.open("rb") as file:
        return total(ext.find_free_space(FileMap(file.fileno(), SIZE)).free) > 0


def swap_two_bits(path: Path) -> None:
    """Swap two bits of the block bitmap: a used block becomes free, a free one used; the count of
    both is as it was."""
    bitmap = re.search(r"Group  0: block bitmap at (\d+)", debugfs(path, "stats"))
    blocks = debugfs(path, "blocks early1", write=False).splitlines()[-1].split()
    free = re.search(r"(\d+)", debugfs(path, "ffb 1 5000", write=False).split("ffb 1 5000")[1])
    assert bitmap and free
    with path.open("r+b") as file:
        for number in (int(blocks[7]), int(free[1])):
            place = int(bitmap[1]) * BLOCK + number // 8
            value = os.pread(file.fileno(), 1, place)[0] ^ 1 << number % 8
            os.pwrite(file.fileno(), bytes([value]), place)


def test_two_wrong_bits(tmp_path: Path) -> None:
    image = make(tmp_path / "image", *WITHOUT_CHECKSUMS)
    swap_two_bits(image)
    assert trusted(image)
    before = image.read_bytes()
    [note] = sparsify(image).notes
    assert note.startswith("the filesystem: free space left alone: e2fsck: Block bitmap diff")
    assert image.read_bytes() == before


def test_zerofree_is_not_run_either(tmp_path: Path) -> None:
    image = make(tmp_path / "image", *WITHOUT_CHECKSUMS)
    swap_two_bits(image)
    before = image.read_bytes()
    with pytest.raises(ext.UntrustedMetadata, match="e2fsck: Block bitmap diff"):
        zerofree(image)
    assert image.read_bytes() == before


@pytest.mark.parametrize("features", ["metadata_csum,^has_journal", "metadata_csum"])
def test_metadata_of_another_day(features: str, tmp_path: Path) -> None:
    """Superblock, descriptors and bitmaps from a backup: every checksum is right."""
    image = make(tmp_path / "image", "-O", features)
    old = image.read_bytes()
    add(image, "late")
    text = debugfs(image, "stats", write=False)
    places = re.search(r"block bitmap at (\d+), inode bitmap at (\d+), inode table at (\d+)", text)
    assert places
    with image.open("r+b") as file:
        for block in (0, 1, int(places[1]), int(places[2])):
            os.pwrite(file.fileno(), old[block * BLOCK : (block + 1) * BLOCK], block * BLOCK)
    assert trusted(image)
    before = image.read_bytes()
    [note] = sparsify(image).notes
    assert "left alone: e2fsck: " in note
    assert image.read_bytes() == before


def test_without_a_checker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checker that cannot run has not agreed, whatever the checksums say."""
    find = programs.find

    def without(program: str) -> str:
        if program in ("e2fsck", "xfs_repair"):
            raise ProgramMissing(f"{program} is not installed")
        return find(program)

    v4, v5 = tmp_path / "v4", tmp_path / "v5"
    make_xfs(v4, ["-m", "crc=0"])
    make_xfs(v5, ["-m", "crc=1"])
    poor = make(tmp_path / "poor", *WITHOUT_CHECKSUMS)
    image = make(tmp_path / "image", "-O", "metadata_csum")
    monkeypatch.setattr(programs, "find", without)
    checkers = {v4: "xfs_repair", v5: "xfs_repair", poor: "e2fsck", image: "e2fsck"}
    for path, checker in checkers.items():
        before = path.read_bytes()
        assert sparsify(path).notes == (
            f"the filesystem: free space left alone: not checked: {checker} is not installed",
        )
        assert path.read_bytes() == before
    monkeypatch.undo()
    for path in checkers:
        report = sparsify(path)
        assert not report.notes and report.plan.survey.free


def test_xfs_of_one_group(tmp_path: Path) -> None:
    """xfs_repair wants to be told that there is no second superblock."""
    image = tmp_path / "image"
    make_xfs(image, ["-d", "agcount=1"])
    report = sparsify(image)
    assert not report.notes and report.plan.survey.free
    run("xfs_repair", "-n", "-o", "force_geometry", image)
