"""The XFS reader against xfsprogs and the kernel, over file systems of many kinds."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrapvz_sparse.image.extents import Ranges, union
from bootstrapvz_sparse.image.filesystems import NotTrusted, xfs
from bootstrapvz_sparse.image.holes import punch
from tests.loop.mounting import run
from tests.unable import unable
from tests.xfsprogs import (
    clean,
    free_ranges,
    log_is_clean,
    log_place,
    make,
    mkfs,
    numbers,
    xfs_db,
)


@pytest.fixture(autouse=True)
def xfsprogs() -> None:
    if shutil.which("mkfs.xfs") is None:
        unable("xfsprogs is not there")


V5 = {
    "v5": [],
    "no reflink": ["-m", "reflink=0"],
    "rmapbt": ["-m", "rmapbt=1"],
    "rmapbt, no reflink": ["-m", "rmapbt=1,reflink=0", "-l", "size=6m"],
    "no finobt": ["-m", "finobt=0,inobtcount=0,rmapbt=0,reflink=0"],
    "no sparse inodes": ["-i", "sparse=0"],
    "no bigtime": ["-m", "bigtime=0"],
    "nrext64": ["-i", "nrext64=1"],
    "1 KiB blocks": ["-b", "size=1024"],
    "1 KiB blocks, rmapbt": ["-b", "size=1024", "-m", "rmapbt=1"],
    "2 KiB blocks": ["-b", "size=2048"],
    "4 KiB sectors": ["-s", "size=4096"],
    "1 KiB inodes": ["-i", "size=1024"],
    "1 group": ["-d", "agcount=1"],
    "2 groups": ["-d", "agcount=2"],
    "log in the first group": ["-d", "agcount=3", "-l", "agnum=0"],
    "larger log": ["-d", "agcount=2", "-l", "size=20m"],
    "log of 4 KiB units": ["-l", "su=4k"],
    "log of 32 KiB units": ["-l", "su=32k"],
    "log of 256 KiB units": ["-d", "agcount=2", "-l", "su=256k"],
}
V4 = {
    "v4": ["-m", "crc=0"],
    "v4, 512-byte blocks": ["-m", "crc=0", "-b", "size=512"],
    "v4, 1 KiB blocks": ["-m", "crc=0", "-b", "size=1024"],
    "v4, 4 KiB sectors": ["-m", "crc=0", "-s", "size=4096"],
    "v4, 1 group": ["-m", "crc=0", "-d", "agcount=1"],
    "v4, finobt=0, 256-byte inodes": ["-m", "crc=0,finobt=0", "-i", "size=256"],
    "v4, log version 1": ["-m", "crc=0", "-l", "version=1"],
    "v4, log of 32 KiB units": ["-m", "crc=0", "-l", "su=32k"],
    "v4, no lazy-count": ["-m", "crc=0", "-b", "size=512", "-l", "lazy-count=0"],
}
LARGE = {
    "16 groups": ["-d", "agcount=16"],
    "64 KiB blocks": ["-b", "size=65536"],
    "16 KiB blocks, 4 KiB sectors": ["-b", "size=16384", "-s", "size=4096"],
    "v4, 64 KiB blocks": ["-m", "crc=0", "-b", "size=65536"],
}
KINDS = {**V5, **V4, **LARGE}
NO_KIND = ["-m", "reflink=0,finobt=0,inobtcount=0", "-d", "agcount=2", "-b", "size=4096"]


def read(path: Path, offset: int = 0) -> Ranges:
    with path.open("rb") as file:
        found = xfs.unneeded(file.fileno(), offset, path.stat().st_size)
    assert found.journal == []
    return found.free


def refusal(path: Path, end: int | None = None) -> str:
    with path.open("rb") as file, pytest.raises(NotTrusted) as caught:
        xfs.unneeded(file.fileno(), 0, path.stat().st_size if end is None else end)
    return str(caught.value)


def write(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def get(path: Path, offset: int, length: int) -> bytes:
    with path.open("rb") as file:
        return os.pread(file.fileno(), length, offset)


@contextlib.contextmanager
def mount(image: Path, *options: str) -> Iterator[Path]:
    point = image.parent / "mounted"
    point.mkdir(exist_ok=True)
    run("mount", "-o", ",".join(["loop", *options]), image, point)
    try:
        yield point
    finally:
        run("umount", point)
        # a mount namespace that somebody made meanwhile keeps the mount until it goes itself
        deadline = time.monotonic() + 20
        while run("losetup", "--associated", image) and time.monotonic() < deadline:
            time.sleep(0.05)


def copy(image: Path, place: Path) -> Path:
    run("cp", "--sparse=always", image, place)
    return place


def churn(folder: Path, chance: random.Random, files: int = 200) -> None:
    """Write files into several folders, delete half of them, let the others grow."""
    for i in range(files):
        place = folder / f"d{i % 7}"
        place.mkdir(exist_ok=True)
        (place / f"{i}-{chance.random()}").write_bytes(chance.randbytes(chance.randrange(20_000)))
    run("sync", "--file-system", folder)
    for file in sorted(folder.glob("d*/*")):
        if chance.random() < 0.5:
            file.unlink()
        elif chance.random() < 0.1:
            with file.open("ab") as more:
                more.write(bytes(chance.randrange(30_000)))


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
    ("options", "files", "levels"),
    [
        (["-m", "crc=0", "-b", "size=512", "-d", "agcount=2"], 6000, 3),
        (["-m", "crc=0", "-b", "size=512", "-l", "lazy-count=0", "-d", "agcount=2"], 3000, 2),
        (["-b", "size=1024", "-m", "rmapbt=1", "-d", "agcount=2"], 3000, 2),
    ],
)
def test_trees_of_several_levels(
    options: list[str], files: int, levels: int, tmp_path: Path
) -> None:
    image = tmp_path / "image"
    make(image, options, files=files)
    assert max(numbers(image, "agf 0", "p bnolevel", "agf 1", "p bnolevel").values()) == levels
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


@pytest.mark.loop
@pytest.mark.parametrize("unit", ["32k", "256k"])
def test_a_log_that_wraps(unit: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    mkfs(image, ["-l", f"su={unit}", "-d", "agcount=2"], 64 << 20)
    start, length = log_place(image)
    each = max(length // int(unit[:-1]) // 1024 // 2, 8)
    for i in range(8):
        with mount(image) as point:
            for j in range(each + i):
                (point / str(j)).touch()
                fd = os.open(point / str(j), os.O_RDONLY)
                os.fsync(fd)
                os.close(fd)
        assert log_is_clean(image)
        assert read(image) == free_ranges(image)
    assert cycle_at(image, start) > 3


@pytest.mark.loop
def test_a_log_of_odd_records_that_wraps(tmp_path: Path) -> None:
    image = tmp_path / "image"
    mkfs(image, ["-d", "agcount=2", "-l", "su=4k"], 64 << 20)
    start, _ = log_place(image)
    chance = random.Random(7)
    for i in range(8):
        with mount(image, "wsync", chance.choice(["logbsize=32k", "logbsize=256k"])) as point:
            for j in range(150 + i):
                (point / str(j)).touch()
            for j in range(150 + i):
                (point / str(j)).unlink()
        assert log_is_clean(image)
        assert read(image) == free_ranges(image)
    assert cycle_at(image, start) > 1


def cycle_at(image: Path, place: int) -> int:
    first, second = struct.unpack(">II", get(image, place, 8))
    return int(second if first == 0xFEEDBABE else first)


def unmount_record(cycle: int, first: int, length: int, size: int, uuid: bytes) -> list[bytes]:
    """The blocks of a record that says so; ``length``: basic blocks of its content."""
    header = struct.pack(
        ">IIIIQQIII", 0xFEEDBABE, cycle, 2, length * 512, *[cycle << 32 | first] * 2, 0, 0, 1
    )
    header = header.ljust(300, b"\0") + struct.pack(">I16sI", 1, uuid, size)
    headers = max(-(-size // 32768), 1)
    operation = struct.pack(">IIBBH", 0, 8, 0xAA, 0x20, 0) + b"nU".ljust(8, b"\0")
    blocks = [header, *[b""] * (headers - 1), operation, *[b""] * (length - 1)]
    return [block.ljust(512, b"\0") for block in blocks]


def a_log(count: int, cycle: int, first: int, length: int, size: int, uuid: bytes) -> bytes:
    """A log of ``count`` basic blocks in which an unmount record was the last to be written."""
    record = unmount_record(cycle, first, length, size, uuid)
    head = first + len(record)
    newest = cycle + (head > count)
    written = head - count if head > count else head
    ring = [struct.pack(">I", newest - (i >= written)).ljust(512, b"\0") for i in range(count)]
    for i, block in enumerate(record):
        later = struct.pack(">I", cycle + (first + i >= count))
        ring[(first + i) % count] = later + block[4:] if i else block
    return b"".join(ring)


@pytest.mark.parametrize("newest", [1, 2, 77])
def test_every_place_of_the_head(newest: int, tmp_path: Path) -> None:
    """A log written here, with its end at all places where something is particular."""
    image = tmp_path / "image"
    make(image, NO_KIND)
    uuid = get(image, 32, 16)
    start, length = log_place(image)
    count = length // 512
    free = read(image)
    seen = 0
    for content, size in ((1, 32768), (1, 262144), (3, 65536), (504, 262144)):
        record = max(size // 32768, 1) + content
        places = {0, 1, record, count // 2, count - 1, count - record, count - record + 1}
        places |= {count - record - 1, count - record // 2, count - 300}
        for first in sorted(places):
            wraps = first + record > count
            if wraps and newest == 1:
                continue  # the first cycle has nothing before it
            cycle = newest - 1 if wraps else newest
            head = first + record
            write(image, start, a_log(count, cycle, first, content, size, uuid))
            assert log_is_clean(image), (first, record)
            assert read(image) == free, (first, record)
            # one more record, of something else, behind it
            behind = head % count
            after = newest + 1 if head == count else newest
            more = unmount_record(after, behind, 1, 32768, uuid)
            more[0] = more[0][:40] + struct.pack(">I", 2) + more[0][44:]
            more[1] = struct.pack(">I", after) + more[1][4:]
            if behind + 2 <= count:
                write(image, start + behind * 512, b"".join(more))
                assert refusal(image).startswith("its log")
            seen += 1
    assert seen > 20


@pytest.mark.loop
def test_records_of_the_kernel_across_the_end(tmp_path: Path) -> None:
    made, image = tmp_path / "made", tmp_path / "image"
    make(made, NO_KIND)
    uuid = get(made, 32, 16)
    start, length = log_place(made)
    count = length // 512
    heads = set()
    for left in range(1, 20):
        copy(made, image)
        write(image, start, a_log(count, 2, count - left - 2, 1, 32768, uuid))
        with mount(image, "logbsize=256k"):  # writes two records of nine blocks
            pass
        assert log_is_clean(image)
        assert read(image) == free_ranges(image)
        heads.add(next(i for i in range(count) if cycle_at(image, start + i * 512) == 2))
    assert heads == set(range(18))  # 0: ends with the last block, or before


def test_a_log_that_is_not_clean(tmp_path: Path) -> None:
    good = tmp_path / "good"
    make(good, NO_KIND)
    start, _ = log_place(good)
    header = {
        "magic": (0, b"\0", "its log"),
        "cycle": (7, b"\x05", "its log"),
        "version": (11, b"\x01", "no record at its end"),
        "length": (14, b"\x04", "no record at its end"),
        "no length": (14, b"\0\0", "no record at its end"),
        "place": (23, b"\x02", "no record at its end"),
        "tail": (31, b"\x09", "not in order"),
        "checksum": (32, b"\x09", "wrong checksum of the end of its log"),
        "operations": (43, b"\x02", "not empty"),
        "uuid": (304, b"\xff\xff", "no record at its end"),
        "size": (320, b"\0\1", "no record at its end"),
        "client": (512 + 8, b"\x69", "not empty"),
        "flags": (512 + 9, b"\x00", "not empty"),
        "flags of a commit": (512 + 9, b"\x22", "not empty"),
        "zeros": (0, bytes(512), "never written"),
    }
    for name, (offset, content, message) in header.items():
        bad = copy(good, tmp_path / "bad")
        write(bad, start + offset, content)
        assert message in refusal(bad), name


@pytest.mark.loop
def test_snapshots_while_it_is_in_use(tmp_path: Path) -> None:
    image, snapshot = tmp_path / "image", tmp_path / "snapshot"
    mkfs(image, ["-d", "agcount=2"], 48 << 20)
    refused = trusted = 0
    for i in range(5):
        stop = threading.Event()
        with mount(image) as point:

            def work(point: Path, stop: threading.Event, chance: random.Random) -> None:
                while not stop.is_set():
                    churn(point, chance, files=10)
                    file = os.open(point / "file", os.O_WRONLY | os.O_CREAT)
                    os.pwrite(file, bytes(5000), chance.randrange(1 << 20))
                    os.fsync(file)
                    os.close(file)

            worker = threading.Thread(target=work, args=(point, stop, random.Random(i)))
            worker.start()
            try:
                for _ in range(8):
                    run("cp", image, snapshot)
                    try:
                        free = read(snapshot)
                    except NotTrusted:
                        refused += 1
                        continue
                    trusted += 1
                    assert clean(snapshot)
                    assert free == free_ranges(snapshot)
            finally:
                stop.set()
                worker.join()
        assert read(image) == free_ranges(image)
    assert refused + trusted == 40
    assert refused > 30


@pytest.mark.loop
@pytest.mark.parametrize("kind", ["v5", "log of 32 KiB units", "rmapbt"])
def test_a_log_to_be_replayed(kind: str, tmp_path: Path) -> None:
    image = tmp_path / "image"
    mkfs(image, V5[kind], 64 << 20)
    for flush in (["-f"], []):
        with mount(image) as point:
            churn(point, random.Random(kind))
            run("xfs_io", "-x", "-c", " ".join(["shutdown", *flush]), point)
        assert refusal(image).startswith("its log")
        assert not log_is_clean(image)
        with mount(image):  # replays it
            pass
        assert read(image) == free_ranges(image)


# commands of xfs_db, which keeps checksums right, and what is said then
BROKEN = {
    "unknown version of XFS": ["sb 0", "write -d versionnum 0xb4a6"],
    "absurd sector size": ["sb 0", "write -d sectlog 12"],
    "absurd block size": ["sb 0", "write -d blocklog 10"],
    "needs to be repaired": ["sb 0", "write -d features_incompat 0x1b"],
    "incompat 0x100": ["sb 0", "write -d features_incompat 0x10b"],
    "ro_compat 0x10": ["sb 0", "write -d features_ro_compat 0x1f"],
    " compat 0x1": ["sb 0", "write -d features_compat 1"],
    "log_incompat 0x1": ["sb 0", "write -d features_log_incompat 1"],
    "version 0x200": ["sb 0", "write -d versionnum 0xb6a5"],
    "features2 0x10": ["sb 0", "write -d features2 0x19a"],
    "not completely made": ["sb 0", "write -d inprogress 1"],
    "the superblock contradicts itself": ["sb 0", "write -d agblklog 20"],
    "the superblock contradicts itself ": ["sb 0", "write -d agcount 3"],
    "the superblock contradicts itself  ": ["sb 0", "write -d bad_features2 0x8a"],
    "larger than the space": ["sb 0", "write -d agcount 200", "write -d dblocks 1638400"],
    "realtime": ["sb 0", "write -d rblocks 100"],
    "on another device": ["sb 0", "write -d logstart 0"],
    "its log lies outside": ["sb 0", "write -d logblocks 9000"],
    "the superblock is newer than its log": ["sb 0", "write -d lsn 0x500000000"],
    "and the superblock says": ["sb 0", "write -d fdblocks 12"],
    "group 1 has no AGF": ["agf 1", "write -d magicnum 0"],
    "group 1 has no AGF ": ["agf 1", "write -d versionnum 2"],
    "group 0 has no AGF": ["agf 0", "write -d seqno 1"],
    "group 0 has no AGF ": ["agf 0", "write -d length 8000"],
    "the AGF of group 0 is of another": ["agf 0", "write -d uuid rewrite"],
    "the AGF of group 0 is newer": ["agf 0", "write -d lsn 0x500000000"],
    "group 0 has no AGI": ["agi 0", "write -d seqno 1"],
    "the AGI of group 0 is of another": ["agi 0", "write -d uuid rewrite"],
    "group 0 has no AGFL": ["agfl 0", "write -d seqno 1"],
    "the AGFL of group 0 is of another": ["agfl 0", "write -d uuid rewrite"],
    "group 0 has a broken AGFL": ["agf 0", "write -d flcount 2"],
    "group 0 has a broken AGFL ": ["agf 0", "write -d flfirst 1000"],
    "has 0 levels": ["agf 0", "write -d bnolevel 0"],
    "has 99 levels": ["agf 0", "write -d cntlevel 99"],
    "a tree of group 0 is broken": ["agf 0", "write -d bnolevel 2"],
    "a tree of group 0 lies outside it": ["agf 0", "write -d bnoroot 0x7fffffff"],
    "free blocks in its trees": ["agf 0", "write -d freeblks 5"],
    "the longest extents": ["agf 0", "write -d longest 5"],
    "not as large as its AGF says": ["agf 0", "write -d btreeblks 1"],
    "overlaps, or lies outside": ["agfl 0", "write -d bno[0] 1", "write -d bno[1] 1"],
    "overlaps, or lies outside ": ["agi 0", "write -d root 2"],
    "overlaps, or lies outside  ": ["agi 0", "write -d root 0x7fffffff"],
}
TREE = {  # of its first leaf by place, below the root
    "a tree of group 1 is broken": "magic 0x41423343",
    "a tree of group 1 is broken ": "level 1",
    "a tree of group 1 is broken  ": "numrecs 0",
    "a tree of group 1 is broken   ": "numrecs 60000",
    "a tree of group 1 is broken    ": "leftsib 1",
    "a tree of group 1 is broken     ": "rightsib 0xffffffff",
    "a tree of group 1 is broken      ": "bno 16",
    "a tree of group 1 is broken       ": "owner 0",
    "a tree of group 1 is of another": "uuid rewrite",
    "a tree of group 1 is newer": "lsn 0x500000000",
    "trees of group 1 do not agree": "recs[2].blockcount 77",
    "trees of group 1 do not agree ": "recs[2].startblock 77",
    "trees of group 1 do not agree  ": "numrecs 2",
}


@pytest.fixture(scope="module")
def fragmented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of version 5, with trees of two levels in group 1."""
    if shutil.which("mkfs.xfs") is None:
        unable("xfsprogs is not there")
    image = tmp_path_factory.mktemp("fragmented") / "image"
    make(image, ["-b", "size=1024", "-d", "agcount=2", "-l", "agnum=0"], files=1500)
    assert numbers(image, "agf 1", "p bnolevel") == {"bnolevel": 2}
    return image


def other_uuid(command: str) -> str:
    return command.replace("rewrite", "01234567-89ab-cdef-0123-456789abcdef")


@pytest.mark.parametrize("message", BROKEN)
def test_not_trusted(message: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    make(bad, ["-b", "size=4096", "-d", "agcount=2"])
    xfs_db(bad, *map(other_uuid, BROKEN[message]), write=True)
    assert message.rstrip() in refusal(bad)


@pytest.mark.parametrize("message", TREE)
def test_a_tree_that_is_not_trusted(message: str, fragmented: Path, tmp_path: Path) -> None:
    bad = copy(fragmented, tmp_path / "bad")
    where = ["agf 1", "addr bnoroot", "addr ptrs[1]"]
    xfs_db(bad, *where, other_uuid(f"write -d {TREE[message]}"), write=True)
    assert message.rstrip() in refusal(bad)


@pytest.mark.parametrize(
    ("what", "commands"),
    [
        ("the superblock", ["sb 0"]),
        ("the AGF of group 0", ["agf 0"]),
        ("the AGI of group 1", ["agi 1"]),
        ("the AGFL of group 0", ["agfl 0"]),
        ("a tree of group 1", ["agf 1", "addr bnoroot"]),
        ("a tree of group 1", ["agf 1", "addr bnoroot", "addr ptrs[2]"]),
        ("a tree of group 1", ["agf 1", "addr cntroot", "addr ptrs[2]"]),
    ],
)
def test_every_checksum_is_asked(
    what: str, commands: list[str], fragmented: Path, tmp_path: Path
) -> None:
    bad = copy(fragmented, tmp_path / "bad")
    address = re.search(r"current daddr is (\d+)", xfs_db(bad, *commands, "daddr"))
    assert address
    place = int(address[1]) * 512 + 500  # in no field that anything else looks at
    write(bad, place, bytes([get(bad, place, 1)[0] ^ 1]))
    assert refusal(bad) == f"wrong checksum of {what}"


@pytest.mark.parametrize("kind", ["v5", "rmapbt", "v4", "v4, log version 1"])
def test_single_bits(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bit that is wrong, in all that is read, gives what was given before, or nothing."""
    image = tmp_path / "image"
    make(image, [*KINDS[kind], "-b", "size=1024"])
    asked = []
    pread = os.pread

    def noted(fd: int, length: int, offset: int) -> bytes:
        asked.append((offset, offset + length))
        return pread(fd, length, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", noted)
        free = read(image)
    chance = random.Random(kind)
    refused = 0
    for start, end in chance.choices(union(asked), k=600):
        place = chance.randrange(start, end)
        byte = get(image, place, 1)
        write(image, place, bytes([byte[0] ^ 1 << chance.randrange(8)]))
        try:
            assert read(image) == free
        except NotTrusted:
            refused += 1
        write(image, place, byte)
    assert read(image) == free
    assert refused > (200 if "v4" not in kind else 10)


def test_truncated(tmp_path: Path) -> None:
    image, short = tmp_path / "image", tmp_path / "short"
    make(image, NO_KIND)
    size = image.stat().st_size
    chance = random.Random(1)
    copy(image, short)
    lengths = [4, 100, 511, 512, 513, 2048, *(chance.randrange(4096, size) for _ in range(20))]
    for length in sorted(lengths, reverse=True):
        os.truncate(short, length)
        assert refusal(short)
        # cut off behind the last metadata, and the partition table does not know
        with contextlib.suppress(NotTrusted), short.open("rb") as file:
            assert xfs.unneeded(file.fileno(), 0, size).free == read(image)
    os.truncate(copy(image, short), size // 2)
    assert refusal(short, size) == "the image ends within its metadata"


def test_nothing_that_is_no_xfs(tmp_path: Path) -> None:
    image = tmp_path / "image"
    for content in (b"", b"XFSB", b"XFSB" + bytes(4096), b"XFSB" * 1024):
        image.write_bytes(content)
        assert refusal(image)
