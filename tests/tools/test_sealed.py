"""Images whose blocks a hash tree covers are the same to the tree afterwards."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from bootstrapvz_sparse.image import sparsify

from .guarded import LINUX, MIB, ROOT, ROOT_VERITY, Part, blank, gpt, need, place, run


def _filesystem(path: Path, system: str, size: int) -> Path:
    """Make a filesystem whose free blocks are not zero."""
    with path.open("xb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(4096) * 256)
    options = {"ext4": ["-q", "-F", "-E", "nodiscard"], "vfat": []}.get(system, ["-q", "-f", "-K"])
    run(f"mkfs.{system}", *options, path)
    return path


def _verify(image: Path, data: Part, hashes: Part, folder: Path, root_hash: str) -> None:
    for name, part in (("d", data), ("h", hashes)):
        with image.open("rb") as file:
            file.seek(part.start)
            (folder / name).write_bytes(file.read(part.size))
    run("veritysetup", "verify", folder / "d", folder / "h", root_hash)


@pytest.mark.parametrize(
    ("system", "code"),
    [
        ("ext4", ROOT_VERITY),
        ("ext4", LINUX),
        ("xfs", LINUX),
        ("btrfs", LINUX),
        ("vfat", LINUX),
    ],
)
def test_keeps_what_another_partition_hashes(tmp_path: Path, system: str, code: str) -> None:
    need("veritysetup", f"mkfs.{system}")
    size = {"xfs": 300 * MIB, "btrfs": 120 * MIB}.get(system, 32 * MIB)
    made = _filesystem(tmp_path / "made", system, size)
    output = run("veritysetup", "format", made, blank(tmp_path / "hashes", 8 * MIB)).stdout
    root_hash = re.search(r"Root hash:\s+(\w+)", output)
    assert root_hash
    data, hashes = Part(1 * MIB, size, ROOT), Part(1 * MIB + size, 8 * MIB, code)
    image = blank(tmp_path / "disk.raw", size + 10 * MIB)
    gpt(image, data, hashes)
    place(image, made, data.start)
    place(image, tmp_path / "hashes", hashes.start)
    before = image.read_bytes()
    _verify(image, data, hashes, tmp_path, root_hash[1])
    sparsify(image)
    _verify(image, data, hashes, tmp_path, root_hash[1])
    assert image.read_bytes() == before


def test_keeps_what_a_tree_behind_it_hashes(tmp_path: Path) -> None:
    need("veritysetup")
    size = 32 * MIB
    image = _filesystem(tmp_path / "disk.raw", "ext4", size)
    os.truncate(image, size + MIB)
    options = [f"--hash-offset={size}", f"--data-blocks={size // 4096}"]
    output = run("veritysetup", "format", *options, image, image).stdout
    root_hash = re.search(r"Root hash:\s+(\w+)", output)
    assert root_hash
    sparsify(image)
    run("veritysetup", "verify", f"--hash-offset={size}", image, image, root_hash[1])


def test_keeps_the_swap_of_a_running_guest(tmp_path: Path) -> None:
    root, swap = Part(1 * MIB, 32 * MIB), Part(33 * MIB, 8 * MIB)
    made = _filesystem(tmp_path / "made", "ext4", root.size)
    run("debugfs", "-w", "-R", "feature needs_recovery", made)
    image = blank(tmp_path / "disk.raw", 42 * MIB)
    gpt(image, root, swap)
    place(image, made, root.start)
    with (tmp_path / "swap").open("wb") as file:
        file.write(os.urandom(swap.size))
    run("mkswap", tmp_path / "swap")
    place(image, tmp_path / "swap", swap.start)
    before = image.read_bytes()
    sparsify(image)
    assert image.read_bytes() == before


def test_frees_what_nothing_else_covers(tmp_path: Path) -> None:
    """The same image without a tree, so that the tests above prove something."""
    image = _filesystem(tmp_path / "disk.raw", "ext4", 32 * MIB)
    sparsify(image)
    assert image.stat().st_blocks * 512 < 8 * MIB
