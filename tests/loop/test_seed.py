"""Against R. Yorston's sparsify for user-mode Linux, the tool this kind of work began with.

That tool frees the blocks of zeros of one file on an ext2 filesystem that is not mounted: it takes
them out of the inode and out of the indirect blocks, which it keeps. Here debugfs does each of its
steps; not by its command ``punch``, which in e2fsprogs 1.47.0 frees blocks of data too where a file
is large enough for double indirection. The engine works while the filesystem is mounted.
"""

from __future__ import annotations

import os
import random
import re
import struct
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.e2fsprogs import debugfs
from tests.support.mounting import run

pytestmark = pytest.mark.loop


@dataclass(frozen=True)
class State:
    """The blocks of a file: its mapped logical blocks, the blocks of its inode, and how many
    blocks the filesystem has free."""

    mapped: frozenset[int]
    blocks: int
    free: int


def content_of(block: int, size: int) -> bytes:
    """Data mixed with runs of zeros of any length, some of them beside whole blocks."""
    chance = random.Random(block)
    pieces = [chance.randbytes(3 * block), bytes(5 * block), chance.randbytes(block), b""]
    pieces += [chance.randbytes(300 * block), bytes(2500 * block)]  # whole indirect blocks of 4 KiB
    length = sum(map(len, pieces))
    while length < size:
        count = chance.choice([1, 2, 5, 12, 40, 300, chance.randrange(1, 600)]) * block
        count += chance.choice([0, 0, 0, 100, block // 2])
        pieces.append(bytes(count) if len(pieces) % 2 else chance.randbytes(count))
        length += count
    return b"".join(pieces)[:size]


def zero_runs(content: bytes, block: int) -> list[tuple[int, int]]:
    """First and last block of each run of blocks of zeros."""
    runs: list[tuple[int, int]] = []
    for number in range(-(-len(content) // block)):
        if content[number * block : (number + 1) * block].strip(b"\0"):
            continue
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def state(image: Path, block: int) -> State:
    text = debugfs(image, "stat F", "show_super_stats -h", write=False)
    mapped: set[int] = set()
    # "(0-11):20-31, (IND):32, (12):33": only what has numbers is of the file itself
    for first, last in re.findall(r"\((\d+)(?:-(\d+))?\):", text):
        mapped |= set(range(int(first), int(last or first) + 1))
    blocks = re.search(r"Blockcount: (\d+)", text)
    free = re.search(r"^Free blocks: +(\d+)$", text, re.M)
    assert blocks and free
    return State(frozenset(mapped), int(blocks[1]) * 512 // block, int(free[1]))


def read(image: Path, folder: Path) -> bytes:
    debugfs(image, f"dump F {folder / 'dumped'}", write=False)
    return (folder / "dumped").read_bytes()


def the_seed(image: Path, block: int, runs: list[tuple[int, int]]) -> None:
    """Free the blocks of the runs as sparsify does, on a filesystem that is not mounted."""
    text = debugfs(image, "imap F", "stat F", "show_super_stats", write=False)
    found = re.search(r"located at block (\d+), offset 0x([0-9a-f]+)", text)
    blocks = re.search(r"Blockcount: (\d+)", text)
    total, start, per_group = (
        int(value)
        for name in ("Free blocks", "First block", "Blocks per group")
        for value in re.findall(rf"^{name}: +(\d+)$", text, re.M)
    )
    in_group = [int(value) for value in re.findall(r"^ +(\d+) free blocks?, ", text, re.M)]
    assert found and blocks and sum(in_group) == total
    content = image.read_bytes()

    def pointer(number: int, index: int) -> int:
        return int(struct.unpack_from("<I", content, number * block + 4 * index)[0])

    inode = int(found[1]) * block + int(found[2], 16)
    root = struct.unpack_from("<15I", content, inode + 0x28)
    each = block // 4
    commands: list[str] = []
    freed: list[int] = []
    zero = [number for first, last in runs for number in range(first, last + 1)]
    for number in zero:
        if number < 12:
            freed.append(root[number])
            commands.append(f"sif F block[{number}] 0")
            continue
        index, parent = number - 12, root[12]
        if index >= each:
            index -= each
            assert index < each * each
            parent, index = pointer(root[13], index // each), index % each
        freed.append(pointer(parent, index))
        commands.append(f"zap_block -o {4 * index} -l 4 -p 0 {parent}")
    commands.append(f"sif F blocks {int(blocks[1]) - len(zero) * block // 512}")
    commands += (f"freeb {number}" for number in freed)  # which leaves the counts as they were
    commands.append(f"ssv free_blocks_count {total + len(freed)}")
    for group, count in Counter((number - start) // per_group for number in freed).items():
        commands.append(f"set_bg {group} free_blocks_count {in_group[group] + count}")
    debugfs(image, *commands)


def needed(mapped: frozenset[int], block: int) -> int:
    """Return the number of indirect blocks that a file with these mapped blocks needs."""
    each = block // 4
    single = {0 for number in mapped if 12 <= number < 12 + each}
    below = {(number - 12 - each) // each for number in mapped if number >= 12 + each}
    return len(single) + len(below) + bool(below)


@pytest.mark.parametrize("block", [1024, 4096])
@pytest.mark.parametrize("kind", ["ext2", "ext3"])
def test_the_seed(kind: str, block: int, tmp_path: Path) -> None:
    unmounted, online, point = (tmp_path / name for name in ("unmounted", "online", "point"))
    point.mkdir()
    size = 24 << 20  # of 4 KiB blocks: beyond the 4 MiB that one indirect block maps
    content = content_of(block, size)
    with unmounted.open("wb") as file:
        file.truncate(64 << 20)
    run("mke2fs", "-q", "-F", "-t", kind, "-b", str(block), "-m", "0", unmounted)
    run("mount", "-o", "loop", unmounted, point)
    try:
        (point / "F").write_bytes(content)
    finally:
        run("umount", point)
    run("cp", unmounted, online)
    before = state(unmounted, block)
    assert len(before.mapped) == -(-size // block)
    assert before.blocks > len(before.mapped)  # there are indirect blocks

    runs = zero_runs(content, block)
    the_seed(unmounted, block, runs)
    theirs = state(unmounted, block)

    run("mount", "-o", "loop", online, point)
    try:
        command = [sys.executable, "-m", "bootstrapvz_sparse.cli", "sparsify", "--reclaim", "none"]
        subprocess.run([*command, point / "F"], check=True, capture_output=True)
        assert os.stat(point / "F").st_size == size
    finally:
        run("umount", point)
    ours = state(online, block)

    zero = {number for first, last in runs for number in range(first, last + 1)}
    assert theirs.mapped == before.mapped - zero
    assert ours.mapped == theirs.mapped
    # the seed keeps each indirect block; the kernel frees those that map nothing any more
    assert theirs.blocks == before.blocks - len(zero)
    assert ours.blocks == len(ours.mapped) + needed(ours.mapped, block) < theirs.blocks
    assert theirs.free == before.free + len(zero)
    assert ours.free - theirs.free == theirs.blocks - ours.blocks
    for image in (unmounted, online):
        assert read(image, tmp_path) == content
        run("e2fsck", "-fn", image)
