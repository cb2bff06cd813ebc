"""Programs that read pieces of an image as one file, in each way to show it."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrapvz_sparse.image import checkers, on_view
from bootstrapvz_sparse.image.view import FileMap, Piece, PieceMap, window
from bootstrapvz_sparse.util import loop
from bootstrapvz_sparse.util.errors import CheckUnavailable, ProgramMissing
from tests.support.e2fsprogs import debugfs
from tests.support.mounting import run
from tests.support.nobody import as_user_with_fuse, without_fuse
from tests.support.processes import descendants, running
from tests.support.unable import unable

MIB = 1 << 20
SIZE = 8 * MIB


@pytest.fixture(params=on_view.WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The only way that is allowed, where it works here at all."""
    monkeypatch.setattr(on_view, "WAYS", (request.param,))
    image = tmp_path / "two"
    image.write_bytes(bytes(8192))
    with image.open("rb") as file:
        try:
            on_view.run(window(FileMap(file.fileno(), 8192), 0, 4096), file.fileno(), "true")
        except CheckUnavailable as error:
            unable(str(error))
    return str(request.param)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An ext4 filesystem with files, 1 MiB behind the beginning, and 1 MiB more."""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(20):
        (source / str(number)).write_bytes(random.Random(number).randbytes(50_000))
    path = tmp_path / "image"
    run("mke2fs", "-q", "-t", "ext4", "-d", source, "-E", f"offset={MIB}", path, f"{SIZE >> 10}k")
    os.truncate(path, SIZE + 2 * MIB)
    return path


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files: of this test only."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@contextlib.contextmanager
def nothing_left(image: Path) -> Iterator[None]:
    """Assert that no mount, file or loop device is left."""
    yield
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and left(image):
        time.sleep(0.01)
    assert left(image) == []


def left(image: Path) -> list[str]:
    """Return files, mounts in all namespaces that can be seen, and loop devices of the test."""
    folder = image.parent / "temporary"
    found = [*os.listdir(folder), *loop.devices(image.stat())]
    for path in Path("/proc").glob("[0-9]*/mountinfo"):
        with contextlib.suppress(OSError):
            found += [line for line in path.read_text().splitlines() if f"{folder}/" in line]
    return found


def read_all(where: on_view.Map, fd: int) -> bytes:
    """Return the bytes of the map as cat reads them."""
    with tempfile.NamedTemporaryFile() as copy:
        os.chmod(copy.name, 0o666)
        result = on_view.run(where, fd, "cp", "--", "@", copy.name)
        assert result.returncode == 0, result.stderr
        return Path(copy.name).read_bytes()


def test_the_bytes(image: Path, way: str) -> None:
    with image.open("rb") as file, nothing_left(image):
        fd = file.fileno()
        where = window(FileMap(fd, SIZE + 2 * MIB), MIB, MIB + SIZE)
        assert read_all(where, fd) == image.read_bytes()[MIB : MIB + SIZE]
        assert loop.devices(fd) == []


def test_status_and_output(image: Path, way: str) -> None:
    with image.open("rb") as file, nothing_left(image):
        where = window(FileMap(file.fileno(), SIZE), 0, MIB)
        result = on_view.run(where, file.fileno(), "sh", "-c", "echo out; echo err >&2; exit 7")
        assert (result.returncode, result.stdout, result.stderr) == (7, "out\n", "err\n")
        result = on_view.run(where, file.fileno(), "sh", "-c", "kill -SEGV $$")
        assert result.returncode == 128 + signal.SIGSEGV


def test_read_only(image: Path, way: str) -> None:
    before = image.read_bytes()
    with image.open("r+b") as file:
        where = window(FileMap(file.fileno(), SIZE), 0, MIB)
        script = 'echo x >"$1" || echo x >>"$1" || dd if=/dev/zero of="$1" conv=notrunc count=1'
        result = on_view.run(where, file.fileno(), "sh", "-c", script, "sh", "@")
        assert result.returncode != 0
    assert image.read_bytes() == before


def test_swapped_pieces(image: Path, way: str) -> None:
    """The filesystem lies in two halves, the second first."""
    half = MIB + SIZE // 2
    raw = image.read_bytes()
    image.write_bytes(raw[:MIB] + raw[half : MIB + SIZE] + raw[MIB:half] + raw[MIB + SIZE :])
    with image.open("rb") as file:
        fd = file.fileno()
        pieces = [Piece(half, SIZE // 2), Piece(MIB, SIZE // 2)]
        where = PieceMap(FileMap(fd, SIZE + 2 * MIB), pieces)
        if way == "loop":
            with pytest.raises(CheckUnavailable, match="a loop device cannot show 2 pieces"):
                checkers.check(where, "ext4", fd)
            return
        assert read_all(where, fd) == raw[MIB : MIB + SIZE]
        assert checkers.check(where, "ext4", fd) == (None, frozenset())
        wrong = PieceMap(FileMap(fd, SIZE + 2 * MIB), pieces[::-1])
        assert checkers.check(wrong, "ext4", fd).complaint == "ext4: the superblock is damaged"


@pytest.mark.parametrize(
    "way",
    [way for way in on_view.WAYS if way != "loop"],  # a loop device shows one piece
    indirect=True,
)
def test_many_random_pieces(tmp_path: Path, way: str) -> None:
    chance = random.Random(14)
    path = tmp_path / "image"
    path.write_bytes(chance.randbytes(4 * MIB))
    raw = path.read_bytes()
    with path.open("rb") as file:
        whole = FileMap(file.fileno(), len(raw))
        for _ in range(5):
            pieces = [
                Piece(chance.randrange(3 * MIB), chance.choice((1, 512, 4096, 70_000)))
                for _ in range(chance.randrange(2, 400))
            ]
            where = PieceMap(whole, pieces)
            expected = b"".join(raw[p.start : p.start + p.length] for p in pieces)
            assert read_all(where, file.fileno()) == expected


def test_a_flipped_bit(image: Path, way: str) -> None:
    """A flipped bit in the inode of a file is found by its checksum."""
    stat = debugfs(image, "imap <13>", offset=MIB, write=False)
    match = re.search(r"located at block (\d+), offset 0x([0-9a-f]+)", stat)
    assert match
    place = MIB + int(match[1]) * 1024 + int(match[2], 16) + 4  # i_size
    with image.open("r+b") as file:
        fd = file.fileno()
        pieces = [Piece(MIB, SIZE)] if way == "loop" else [Piece(MIB, MIB), Piece(2 * MIB, 7 * MIB)]
        where = PieceMap(FileMap(fd, SIZE + 2 * MIB), pieces)
        assert on_view.run(where, fd, "e2fsck", "-fn", "@").returncode == 0
        os.pwrite(fd, bytes([os.pread(fd, 1, place)[0] ^ 4]), place)
        result = on_view.run(where, fd, "e2fsck", "-fn", "@")
        assert result.returncode == 4
        assert "Inode 13 passes checks, but checksum does not match" in result.stdout


def test_an_image_that_ends_before(image: Path, way: str) -> None:
    with image.open("rb") as file:
        where = window(FileMap(file.fileno(), SIZE * 4), 0, SIZE * 4)
        result = on_view.run(where, file.fileno(), "cp", "--", "@", "/dev/null")
        assert way == "loop" or "Input/output error" in result.stderr


def test_as_an_ordinary_user(image: Path) -> None:
    def check() -> None:
        with image.open("rb") as file:
            where = window(FileMap(file.fileno(), SIZE + 2 * MIB), MIB, MIB + SIZE)
            result = on_view.run(where, file.fileno(), "e2fsck", "-fn", "@")
            assert result.returncode == 0, result.stdout

    folder = image.parent
    if os.geteuid() == 0:
        with tempfile.TemporaryDirectory() as public:
            os.chmod(public, 0o755)
            image = Path(run("cp", "-v", image, public).split("'")[-2])
            as_user_with_fuse(check)
    else:
        check()
    assert folder.exists()


CHECK = """
import os, sys
from bootstrapvz_sparse.image import on_view
from bootstrapvz_sparse.image.view import FileMap, window
on_view.WAYS = ("namespace",)
fd = os.open(sys.argv[1], os.O_RDONLY)
size = os.fstat(fd).st_size
where = window(FileMap(fd, size), 1 << 20, size - (1 << 20))
sys.exit(on_view.run(where, fd, "e2fsck", "-fn", "@").returncode)
"""


def test_root_needs_no_namespace(image: Path) -> None:
    """Here the root of a user namespace in which no other one can be made."""
    script = 'echo 0 >/proc/sys/user/max_user_namespaces; ! unshare -U true 2>&- && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    subprocess.run([*command, sys.executable, "-c", CHECK, image], check=True)


def test_a_loop_device_without_fuse(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        unable("loop devices need root")
    monkeypatch.setattr(on_view, "WAYS", ("namespace", "loop"))

    def check() -> None:
        with image.open("rb") as file:
            where = window(FileMap(file.fileno(), SIZE + 2 * MIB), MIB, MIB + SIZE)
            result = on_view.run(where, file.fileno(), "e2fsck", "-fn", "@")
            assert result.returncode == 0 and "/dev/loop" in result.stdout

    without_fuse(check)


def test_each_reason_is_named(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither /dev/fuse nor fusermount3, and a loop device has one piece."""
    find = on_view.programs.find

    def without(program: str) -> str:
        if program == "fusermount3":
            raise ProgramMissing("fusermount3 is not installed")
        return find(program)

    monkeypatch.setattr(on_view.programs, "find", without)
    with image.open("rb") as file:
        pieces = [Piece(0, 4096), Piece(8192, 4096)]
        where = PieceMap(FileMap(file.fileno(), SIZE), pieces)

        def check() -> None:
            with pytest.raises(CheckUnavailable) as error:
                on_view.run(where, file.fileno(), "e2fsck", "-fn", "@")
            assert re.fullmatch(
                r"e2fsck: cannot show it the filesystem \(namespace: .+; "
                r"fusermount3: .+ is not installed; loop: a loop device cannot show 2 pieces\)",
                str(error.value),
            )

        if os.geteuid() == 0:
            without_fuse(check)


PARENT = """
import os, sys
from bootstrapvz_sparse.image import on_view
from bootstrapvz_sparse.image.view import FileMap, window
on_view.WAYS = (sys.argv[2],)
fd = os.open(sys.argv[1], os.O_RDONLY)
on_view.run(window(FileMap(fd, 1 << 30), 0, 1 << 20), fd, "tail", "-f", "-c", "1", "@", "/dev/zero")
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_after_signals(image: Path, way: str, number: signal.Signals) -> None:
    """Neither processes nor mounts in any namespace nor files nor loop devices."""
    for delay in (0, 0.02, 0.05, 0.1, 0.3):
        with nothing_left(image):
            process = subprocess.Popen(
                [sys.executable, "-c", PARENT, image, way],
                stderr=subprocess.DEVNULL,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )
            while not (below := descendants(process.pid)) and process.poll() is None:
                time.sleep(0.001)
            time.sleep(delay)
            below = descendants(process.pid)
            process.send_signal(number)
            assert process.wait(20) != 0
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline and any(map(running, below)):
                time.sleep(0.01)
            assert not any(map(running, below))
