"""Ext filesystems of random features, filled and half emptied again. Needs no root.

One of them again: ``pytest tests/tools/test_random_ext.py -k 'seed_17_'``; a failure shows its
command.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from bootstrapvz_sparse.image import sparsify
from tests.support.e2fsprogs import check, debugfs, mend
from tests.support.ext import clear_behind
from tests.support.independent import assert_nothing_wasted, unneeded
from tests.support.msdos import SECTOR, write_table
from tests.support.unable import unable

SEEDS = 120
MOST_DRAWS = 200
FEATURES = (
    *("64bit", "metadata_csum", "metadata_csum_seed", "uninit_bg", "flex_bg", "meta_bg"),
    *("resize_inode", "sparse_super", "sparse_super2", "bigalloc", "extent", "has_journal"),
    *("quota", "project", "inline_data", "large_dir", "casefold", "encrypt", "verity"),
    *("ea_inode", "huge_file", "dir_index", "orphan_file", "mmp", "large_file", "filetype"),
    *("ext_attr", "extra_isize", "dir_nlink", "fast_commit", "stable_inodes"),
)
RARE = {"mmp": 0.05, "bigalloc": 0.3, "meta_bg": 0.4, "metadata_csum": 0.4, "extent": 0.3}
TOLD = 0.15  # how often a feature is set or cleared, if it is not rare

HAS_JOURNAL, MMP = 0x4, 0x100  # s_feature_compat, s_feature_incompat

# Files by name; a folder is None, a symbolic link a string.
Tree = dict[str, "bytes | str | None"]


@pytest.fixture(autouse=True)
def e2fsprogs() -> None:
    if shutil.which("mke2fs") is None:
        unable("e2fsprogs is not there")


def draw(chance: random.Random, block: int, size: int, offset: int) -> list[str]:
    """Options of mke2fs(8), which may contradict each other."""
    kind = chance.choice(["ext2", "ext3", "ext4", "ext4"])
    options = ["-t", kind, "-b", str(block), "-m", str(chance.choice([0, 0, 1, 5, 50]))]
    extended = {"hash_seed": "6d0a5b0e-6b0f-4f1c-8f0e-1d6a4b1c2d3e"}
    if offset:
        extended["offset"] = str(offset)

    def sometimes(probability: float) -> bool:
        return chance.random() < probability

    if kind == "ext2" and sometimes(0.05):
        options += ["-r", "0", "-O", "none"]
    else:
        stated = [name for name in FEATURES if sometimes(RARE.get(name, TOLD))]
        signs = ["" if sometimes(0.65) else "^" for _ in stated]
        for feature, other in (("meta_bg", "^resize_inode"), ("bigalloc", "extent")):
            # of what is refused most often, more is to be taken
            if (feature, "") in zip(stated, signs) and other.lstrip("^") not in stated:
                stated.append(other.lstrip("^"))
                signs.append("^" if other.startswith("^") else "")
        if stated:
            options += ["-O", ",".join(sign + name for sign, name in zip(signs, stated))]
        on = [name for sign, name in zip(signs, stated) if not sign]
        if "bigalloc" in on:
            options += ["-C", str(block << chance.choice([1, 2, 3, 4, 4, 6]))]
        if "sparse_super2" in on:
            extended["num_backup_sb"] = str(chance.randrange(3))
        if "mmp" in on:
            extended["mmp_update_interval"] = "1"
        if "orphan_file" in on and sometimes(0.3):
            extended["orphan_file_size"] = str(chance.choice([block * 2, 64 << 10]))
        if "fast_commit" in on:
            options += ["-J", f"size={chance.randrange(1, 5)},fast_commit_size=256"]
        elif sometimes(0.2):
            options += ["-J", f"size={chance.choice([1, 1, 2, 3, 4, 8])}"]
        if sometimes(0.35):
            options += ["-I", str(chance.choice([128, 256, 512, 1024, 2048]))]
        if sometimes(0.3):
            extended["packed_meta_blocks"] = str(chance.randrange(2))
        if sometimes(0.1):
            extended["desc_size"] = "64"
        if sometimes(0.15):
            extended["resize"] = str((size << chance.randrange(1, 8)) // block)
        if sometimes(0.3):
            options += ["-G", str(1 << chance.randrange(0, 11))]
    if sometimes(0.4):
        options += ["-g", str(8 * chance.choice([32, 33, 64, 100, 128, 256, 511, block]))]
    if sometimes(0.2):
        options += ["-N", str(chance.randrange(200, 9000))]
    elif sometimes(0.3):
        options += ["-i", str(chance.choice([1024, 2048, 4096, 8192, 65536]))]
    if sometimes(0.5):
        extended["lazy_itable_init"] = str(chance.randrange(2))
    if sometimes(0.5):
        extended["lazy_journal_init"] = str(chance.randrange(2))
    if sometimes(0.2):
        extended["stride"], extended["stripe_width"] = "4", "16"
    joined = ",".join(f"{key}={value}" for key, value in extended.items())
    # nodiscard: what lay in the image before remains
    return [*options, "-E", f"nodiscard,{joined}", "-U", "c0ffee00-1111-4222-8333-444455556666"]


def grow(folder: Path, chance: random.Random, most: int) -> Tree:
    """A tree below ``folder`` of about ``most`` bytes in files of many kinds."""
    tree: Tree = {}
    pool = chance.randbytes(1 << 20)

    def content(length: int) -> bytes:
        start = chance.randrange(len(pool))
        return (pool[start:] + pool * (length // len(pool) + 1))[:length]

    def add(name: str, value: bytes | str | None) -> None:
        tree[name] = value
        if value is None:
            (folder / name).mkdir()
        elif isinstance(value, str):
            (folder / name).symlink_to(value)
        else:
            (folder / name).write_bytes(value)

    add("small", None)
    for number in range(chance.randrange(90)):
        name = f"small/{'n' * chance.choice([1, 1, 9, 180])}{number}"
        add(name, content(chance.choice([0, 1, 40, 150, 700, chance.randrange(5000)])))
    deep = "deep"
    for number in range(chance.randrange(1, 12)):
        add(deep, None)
        add(f"{deep}/leaf", content(chance.randrange(3000)))
        deep += f"/{number}"
    for number in range(chance.randrange(4, 10)):
        add(f"big{number}", content(chance.randrange(most // 6)))
    for number in range(2):
        add(f"zeros{number}", bytes(chance.randrange(300_000)))
    add("link", "small")
    add("long link", ("x/" * 150)[: chance.choice([59, 60, 299])])
    name = "sparse"
    with (folder / name).open("wb") as file:
        for _ in range(chance.randrange(1, 6)):
            file.seek(chance.randrange(1, 200_000), os.SEEK_CUR)
            file.write(content(chance.randrange(1, 30_000)))
    tree[name] = (folder / name).read_bytes()
    for name in ("link", "small"):
        with contextlib.suppress(OSError):  # where files cannot have any
            os.setxattr(folder / name, "user.seed", content(1500), follow_symlinks=False)
    return tree


def make(image: Path, source: Path, chance: random.Random, block: int, offset: int) -> None:
    """Make and fill a filesystem by the first options that mke2fs takes."""
    size = image.stat().st_size - offset
    place = [f"{size // 1024}k"] if offset else []
    environment = {**os.environ, "E2FSPROGS_FAKE_TIME": "1700000000"}
    for number in range(MOST_DRAWS):
        options = draw(chance, block, size, offset)
        done = subprocess.run(
            ["mke2fs", "-q", "-F", "-d", source, *options, image, *place],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        # of some mixtures mke2fs 1.47.0 makes what e2fsck calls corrupt
        if done.returncode == 0 and not check(image, offset):
            print(f"refused {number} times, then taken: mke2fs {' '.join(options + place)}")
            return
    pytest.fail(f"mke2fs takes nothing: {done.stderr}")


def use(image: Path, tree: Tree, chance: random.Random, block: int, offset: int) -> None:
    """Delete half of the files, write others between what is left, and soil the journal's log."""
    files = [name for name, value in tree.items() if value is not None]
    gone = chance.sample(files, len(files) // 2)
    commands = [f'rm "{name}"' for name in gone]
    for name in gone:
        del tree[name]
    for number in range(3):
        content = bytearray(chance.randbytes(chance.randrange(1, 200_000)))
        name, path = f"new{number}", image.parent / f"new{number}"
        path.write_bytes(content)
        commands.append(f"write {path} {name}")
        # debugfs leaves out what is zero, so zeros have to be written over something
        first = chance.randrange(-(-len(content) // block))
        last = min(first + chance.choice([1, 7, 33]), -(-len(content) // block))
        if len(content) > 3000:  # nothing within the inode
            commands += (f"zap_block -f {name} -p 0 {number}" for number in range(first, last))
            zeros = bytes(min(last * block, len(content)) - first * block)
            content[first * block : first * block + len(zeros)] = zeros
        tree[name] = bytes(content)
    if features(image, offset)[0] & HAS_JOURNAL:  # of none, zap_block would overwrite block 0
        log = sorted(chance.sample(range(1, 1024), 20))
        commands += (f"zap_block -f <8> -p {chance.randrange(1, 256)} {number}" for number in log)
    debugfs(image, *commands, offset=offset)


def features(image: Path, offset: int) -> tuple[int, int]:
    """s_feature_compat and s_feature_incompat."""
    with image.open("rb") as file:
        file.seek(offset + 1024 + 0x5C)
        compat, incompat = struct.unpack("<II", file.read(8))
    return compat, incompat


def read_back(image: Path, offset: int) -> Tree:
    folder = image.parent / "back"
    folder.mkdir()
    debugfs(image, f"rdump / {folder}", offset=offset, write=False)
    shutil.rmtree(folder / "lost+found")
    tree: Tree = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            tree[name] = os.readlink(path)
        else:
            tree[name] = None if path.is_dir() else path.read_bytes()
    shutil.rmtree(folder)
    return tree


def assert_same(found: Tree, expected: Tree) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        there = found[name]
        if isinstance(there, bytes) and isinstance(value, bytes):
            # of what lies within an inode debugfs is wrong about how many zeros it ends with
            there, value = there.rstrip(b"\0"), value.rstrip(b"\0")
        assert there == value, name


def differences(before: bytes, after: bytes, unneeded: list[tuple[int, int]]) -> int:
    """Return how many of the pieces between unneeded ranges have changed."""
    position, count = 0, 0
    one, other = memoryview(before), memoryview(after)
    for start, end in [*sorted(unneeded), (len(before), len(before))]:
        count += one[position:start] != other[position:start]
        position = max(position, end)
    return count


def blank(path: Path, size: int, garbage: bool, chance: random.Random) -> None:
    """A file to make a filesystem in: of holes, or allocated and full of garbage."""
    with path.open("wb") as file:
        if garbage:
            piece = chance.randbytes((1 << 20) - 24)
            file.write((piece * (size // len(piece) + 1))[:size])
        file.truncate(size)


@pytest.mark.parametrize("seed", range(SEEDS), ids="seed_{}_".format)
def test_random(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    image, source = tmp_path / "image", tmp_path / "source"
    least, most = (64, 129) if seed % 20 == 0 else (8, chance.choice([10, 10, 12, 16, 24, 32]))
    size = (chance.randrange(least << 10, most << 10) << 10) + chance.choice([0, 0, 0, 512, 17])
    state = chance.choice(["garbage", "garbage", "allocated", "sparse"])
    block = chance.choice([1024, 1024, 2048, 4096, 4096])
    offset = chance.choice([0, 0, 0, 0, SECTOR, 63 * SECTOR, 1 << 20])
    print(f"seed {seed}: {size} bytes, {state}, filesystem at byte {offset}")
    source.mkdir()
    tree = grow(source, chance, min(size // 4, 4 << 20))
    blank(image, size, state == "garbage", chance)
    make(image, source, chance, block, offset)
    if not features(image, offset)[1] & MMP:  # to write, debugfs would wait 11 seconds
        use(image, tree, chance, block, offset)
    clear_behind(image, offset)
    if offset:
        write_table(image, (offset, size // SECTOR * SECTOR))
    if state == "allocated":
        subprocess.run(["cp", "--sparse=never", image, tmp_path / "whole"], check=True)
        (tmp_path / "whole").rename(image)
    if check(image, offset):
        mend(image, offset)
    free = unneeded(image, offset)
    earlier, before = read_back(image, offset), image.read_bytes()
    assert_same(earlier, tree)

    report = sparsify(image)
    # where the partition begins within a block, small images lose more than 1 %
    assert [note for note in report.notes if "cannot become holes" not in note] == []
    assert report.after <= report.before
    after = image.read_bytes()
    assert len(after) == len(before)
    assert differences(before, after, free) == 0
    assert check(image, offset) == ""
    assert read_back(image, offset) == earlier
    assert_nothing_wasted(image, offset)
    shutil.rmtree(tmp_path)  # hundreds of them would be many
