"""A clean log is told from a dirty one, wherever in its ring it ends."""

from __future__ import annotations

import os
import random
import struct
import threading
from pathlib import Path

import pytest

from bootstrapvz_sparse.image.filesystems import NeedsRecovery, UntrustedMetadata
from tests.support.mounting import run
from tests.support.xfs import (
    NO_KIND,
    V5,
    churn,
    copy,
    get,
    mount,
    read,
    refusal,
    write,
)
from tests.support.xfsprogs import (
    clean,
    free_ranges,
    log_is_clean,
    log_place,
    make,
    mkfs,
)


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
                assert refusal(image).startswith("the log")
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
        "magic": (0, b"\0", "the log"),
        "cycle": (7, b"\x05", "the log"),
        "version": (11, b"\x01", "no complete record at its end"),
        "length": (14, b"\x04", "no complete record at its end"),
        "no length": (14, b"\0\0", "no complete record at its end"),
        "place": (23, b"\x02", "no complete record at its end"),
        "tail": (31, b"\x09", "not in order"),
        "checksum": (32, b"\x09", "wrong checksum of the last record of the log"),
        "operations": (43, b"\x02", "needs recovery"),
        "uuid": (304, b"\xff\xff", "no complete record at its end"),
        "size": (320, b"\0\1", "no complete record at its end"),
        "client": (512 + 8, b"\x69", "needs recovery"),
        "flags": (512 + 9, b"\x00", "needs recovery"),
        "flags of a commit": (512 + 9, b"\x22", "needs recovery"),
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
                    except UntrustedMetadata:
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
        with pytest.raises(NeedsRecovery, match="^the log"):
            read(image)
        assert not log_is_clean(image)
        with mount(image):  # replays it
            pass
        assert read(image) == free_ranges(image)
