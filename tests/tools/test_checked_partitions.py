"""Partitions whose filesystems are checked without root, through sparsify."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrapvz_sparse.image import sparsify
from bootstrapvz_sparse.util import loop
from tests.support import xfsprogs
from tests.support.mounting import run
from tests.support.msdos import partitioned
from tests.support.nobody import as_user_with_fuse
from tests.support.processes import descendants, name_of, running

MIB = 1 << 20
XFS = 96 * MIB
PACKAGE = Path(__file__).parent.parent.parent / "bootstrapvz_sparse"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that an ordinary user may enter."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def xfs(folder: Path, files: int) -> bytes:
    path = folder / f"xfs{files}"
    xfsprogs.make(path, ["-d", "agcount=4"], XFS, files)
    return path.read_bytes()


def test_clean_partitions(folder: Path, tmp_path: Path) -> None:
    """XFS and btrfs are checked, before and after, as an ordinary user."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(os.urandom(MIB))
    btrfs = tmp_path / "btrfs"
    with btrfs.open("wb") as file:
        file.truncate(128 * MIB)
    run("mkfs.btrfs", "-q", "--rootdir", source, btrfs)
    image = partitioned(folder, xfs(tmp_path, 40), btrfs)
    folder.chmod(0o777)

    def work() -> None:
        report = sparsify(image, verify=True, reclaim="metadata")
        assert "partition 1: xfs checks clean" in report.verified
        assert not [note for note in report.notes if "check" in note], report.notes
        assert report.after < report.before

    as_user_with_fuse(work)


def test_from_a_zip_archive(folder: Path, tmp_path: Path) -> None:
    """The checker's process finds its code in the archive."""
    image = partitioned(folder, xfs(tmp_path, 40))
    archive = tmp_path / "app.pyz"
    with zipfile.ZipFile(archive, "w") as file:
        for path in PACKAGE.rglob("*.py"):
            file.write(path, path.relative_to(PACKAGE.parent))
        file.writestr(
            "__main__.py",
            "import sys; from pathlib import Path\n"
            "from bootstrapvz_sparse.image import sparsify\n"
            "print(sparsify(Path(sys.argv[1]), verify=True).verified)",
        )
    command = [sys.executable, "-I", archive, image]
    result = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert "partition 1: xfs checks clean" in result.stdout, result.stderr


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_while_a_checker_runs(folder: Path, tmp_path: Path, number: signal.Signals) -> None:
    image = partitioned(folder, xfs(tmp_path, 40))
    copy = tmp_path / "copy"
    for delay in (0, 0.02, 0.05, 0.1):
        shutil.copyfile(image, copy)
        process = subprocess.Popen(
            [sys.executable, "-m", "bootstrapvz_sparse.cli", "sparsify", copy],
            env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        below: list[int] = []
        while "xfs_repair" not in map(name_of, below) and process.poll() is None:
            below = descendants(process.pid)
        time.sleep(delay)
        process.send_signal(number)
        process.wait(20)
        deadline = time.monotonic() + 10
        while any(map(running, below)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not any(map(running, below))
        assert loop.devices(copy.stat()) == []
    assert sparsify(copy).notes == ()
