"""Others who use the image while it is worked on: the run ends, and says what it has seen."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bootstrapvz_sparse.image import access, holes, reclaim, sparsify
from bootstrapvz_sparse.image.access import opened
from bootstrapvz_sparse.util.errors import ImageInUse, SparseError
from tests.support.mounting import run
from tests.support.used import assert_holds, make_used

pytestmark = pytest.mark.loop

MIB = 1 << 20
SIZE = 48 * MIB


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    return make_used("ext4", tmp_path_factory.mktemp("used"), SIZE)


@pytest.fixture
def image(used: tuple[Path, dict[str, bytes]], tmp_path: Path) -> Path:
    run("cp", "--sparse=never", used[0], tmp_path / "image")
    return tmp_path / "image"


@pytest.fixture
def while_punching(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], list[int]]:
    """Does something before the third hole is punched; the list is of where holes were punched."""

    def during(do: Callable[[], object]) -> list[int]:
        original, punched = holes.punch, list[int]()

        def punch(fd: int, start: int, end: int) -> None:
            if len(punched) == 2:
                do()
            punched.append(start)
            original(fd, start, end)

        monkeypatch.setattr(holes, "punch", punch)
        monkeypatch.setattr(access, "INTERVAL", 0)
        return punched

    return during


@pytest.mark.parametrize("method", ["punch", "none", "dig-holes"])
def test_attached(
    method: str,
    image: Path,
    used: tuple[Path, dict[str, bytes]],
    while_punching: Callable[..., list[int]],
    tmp_path: Path,
) -> None:
    devices: list[str] = []
    punched = while_punching(
        lambda: devices.append(run("losetup", "--find", "--show", image).strip())
    )
    try:
        with pytest.raises(
            SparseError,
            match=r"attached to /dev/loop\d+ \(detach it: losetup -d /dev/loop\d+\); the content",
        ):
            sparsify(image, method=method)
    finally:
        run("losetup", "--detach", devices[0])
    assert len(punched) == 3
    assert_holds(image, used[1], tmp_path)


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        (
            lambda path: os.truncate(path, SIZE // 2),
            f"size changed from {SIZE} to {SIZE // 2} bytes|became shorter",
        ),
        (
            lambda path: os.truncate(path, 2 * SIZE),
            f"size changed from {SIZE} to {2 * SIZE} bytes; another process",
        ),
        (lambda path: path.rename(path.with_name("moved")), "No such file"),
        (
            lambda path: (path.rename(path.with_name("moved")), path.write_bytes(b"another")),
            "replaced by another file",
        ),
    ],
)
@pytest.mark.parametrize("method", ["punch", "none"])
def test_changed(
    method: str,
    do: Callable[[Path], object],
    reason: str,
    image: Path,
    while_punching: Callable[..., list[int]],
) -> None:
    punched = while_punching(lambda: do(image))
    with pytest.raises((SparseError, OSError), match=reason):
        sparsify(image, method=method)
    assert len(punched) <= 3
    assert image.exists() or image.with_name("moved").stat().st_size == SIZE


def test_written_to_before_anything_is_changed(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Free space in the metadata may be wrong by then."""
    from bootstrapvz_sparse.image import api as module

    original = module.find_free

    def prepare(*arguments: object) -> object:
        found = original(*arguments)  # type: ignore[arg-type]
        with image.open("r+b") as file:
            os.pwrite(file.fileno(), b"x", SIZE - 1)
        return found

    run("sync", image)
    before = image.stat().st_blocks
    monkeypatch.setattr(module, "find_free", prepare)
    with pytest.raises(SparseError, match="another process wrote to the image"):
        sparsify(image)
    assert image.stat().st_blocks == before


def test_image_that_is_replaced_by_a_link(
    image: Path,
    used: tuple[Path, dict[str, bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Everything is done to the open image; the file that its name leads to is not touched."""
    victim = tmp_path / "victim"
    run("cp", "--sparse=never", used[0], victim)
    before = victim.read_bytes(), victim.stat().st_blocks, victim.stat().st_mtime_ns
    original = reclaim.discard

    def replaced(*arguments: Any) -> None:
        image.rename(tmp_path / "kept")
        image.symlink_to(victim)
        original(*arguments)

    monkeypatch.setattr(reclaim, "discard", replaced)
    with pytest.raises(ImageInUse, match="replaced by another file"):
        sparsify(image, reclaim="discard")
    assert (victim.read_bytes(), victim.stat().st_blocks, victim.stat().st_mtime_ns) == before
    assert_holds(tmp_path / "kept", used[1], tmp_path)
    assert (tmp_path / "kept").stat().st_blocks < victim.stat().st_blocks - 16 * MIB // 512


def test_signal_while_the_punching_thread_starts(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is punched after the interruption, into a file that gets the same descriptor."""
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    before = image.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        sparsify(image)
    monkeypatch.undo()
    with image.open("r+b", buffering=0):
        time.sleep(0.2)
    assert image.read_bytes() == before
    assert not [each for each in threading.enumerate() if each is not threading.main_thread()]


def test_two_runs_at_once(image: Path) -> None:
    with opened(image):
        name = Path("/proc/self/comm").read_text().strip()
        done = subprocess.run(
            [sys.executable, "-m", "bootstrapvz_sparse.cli", "sparsify", image],
            capture_output=True,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr == f"bvz-sparse: error: {image}: locked by {name} (PID {os.getpid()})\n"


def test_a_program_that_locks_as_qemu_does(image: Path) -> None:
    script = (
        "import fcntl, struct, sys, time\n"
        "file = open(sys.argv[1], 'r+b')\n"
        "lock = struct.pack('hhqqi', fcntl.F_RDLCK, 0, 100, 1, 0)\n"
        f"fcntl.fcntl(file, {access.F_OFD_SETLK}, lock)\n"
        "print('locked', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, image], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stdout.readline() == "locked\n"
        try:
            with pytest.raises(SparseError, match=rf"locked by .* \(PID {process.pid}\)"):
                sparsify(image)
        finally:
            process.kill()


def test_a_file_that_others_hold_open_for_reading_is_no_obstacle(image: Path) -> None:
    with image.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_UN)
        assert sparsify(image).method == "punch"


def test_programs_end_with_us(tmp_path: Path) -> None:
    """Killed, we leave nobody who goes on writing."""
    script = (
        "from bootstrapvz_sparse.util.programs import run\n"
        "print(run('sh', '-c', 'echo $$ >\"$1\"; exec sleep 60', 'sh', r'{}'))"
    ).format(tmp_path / "pid")
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        deadline = time.monotonic() + 30
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
    pid = int((tmp_path / "pid").read_text())
    while _runs(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError as error:
        assert error.errno in (errno.ENOENT, errno.ESRCH)
        return False
