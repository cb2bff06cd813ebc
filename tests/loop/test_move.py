"""An image that is moved, within a filesystem and to another."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from bootstrapvz_sparse.image import move as module
from bootstrapvz_sparse.image.extents import allocated
from bootstrapvz_sparse.image.move import copy, move
from bootstrapvz_sparse.util.errors import (
    ImageInUse,
    ProgramFailed,
    SparseError,
    VerificationFailed,
)
from tests.support.mounting import fill, mounted
from tests.support.nobody import NOBODY

pytestmark = pytest.mark.loop

MIB = 1 << 20
SIZE = 64 * MIB


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """2 MiB of data, 1 MiB of them zeros that are allocated, in 64."""
    path = tmp_path / "image"
    with path.open("wb") as file:
        file.truncate(SIZE)
        file.seek(5 * MIB)
        file.write(b"x" * MIB + bytes(MIB))
        os.fsync(file.fileno())
    path.chmod(0o640)
    os.chown(path, NOBODY, NOBODY)
    os.utime(path, (1, 2))
    os.setxattr(path, "user.note", b"kept")
    return path


def assert_is(path: Path, content: bytes) -> None:
    status = path.stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode), status.st_mtime) == (NOBODY, 0o640, 2)
    assert os.getxattr(path, "user.note") == b"kept"
    assert path.read_bytes() == content


def test_within_a_filesystem(image: Path, tmp_path: Path) -> None:
    inode, content = image.stat().st_ino, image.read_bytes()
    assert move(image, tmp_path / "there") == []
    assert not image.exists()
    assert (tmp_path / "there").stat().st_ino == inode
    assert_is(tmp_path / "there", content)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_to_another_filesystem(image: Path, tmp_path: Path, kind: str) -> None:
    content = image.read_bytes()
    with mounted(kind, tmp_path, 320 * MIB) as folder:
        assert move(image, folder / "there") == []
        assert not image.exists()
        assert_is(folder / "there", content)
        assert allocated((folder / "there").stat()) <= MIB + 65536  # the zeros are a hole now
        assert {path.name for path in folder.iterdir()} - {"lost+found"} == {"there"}


def test_never_over_a_file(image: Path, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("somebody's")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("there", "link"):
        with pytest.raises(SparseError, match="already exists"):
            move(image, tmp_path / name)
    assert (tmp_path / "there").read_text() == "somebody's"
    assert image.exists()


def test_no_room(image: Path, tmp_path: Path) -> None:
    with mounted("tmpfs", tmp_path, 3 * MIB) as folder:
        fill(folder, 4096)
        os.truncate(folder / "filler", 2 * MIB)  # the probe has room, the image has not
        with pytest.raises(SparseError, match="MiB free, but the image needs 2.0 MiB"):
            move(image, folder / "there")
        assert os.listdir(folder) == ["filler"]
    assert image.exists()


def test_to_a_filesystem_without_holes(image: Path, tmp_path: Path) -> None:
    content = image.read_bytes()
    with mounted("exfat", tmp_path, 200 * MIB) as folder:
        [note] = move(image, folder / "there")
        assert note == f"{folder}: no sparse files there; the image takes its whole size"
        assert (folder / "there").read_bytes() == content


def test_a_copy_that_is_not_the_same(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = module._copy

    def bad(source: int, fd: int, name: Path) -> None:
        original(source, fd, name)
        os.pwrite(fd, b"y", 40 * MIB)  # where the original has a hole

    with mounted("tmpfs", tmp_path, 320 * MIB) as folder:
        monkeypatch.setattr(module, "_copy", bad)
        with pytest.raises(
            VerificationFailed, match=f"the copy differs from the image at byte {40 * MIB}"
        ):
            move(image, folder / "there")
        assert os.listdir(folder) == []
        assert image.exists()


def test_temporary_that_is_replaced_by_a_link(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mode, times and attributes go to the open copy, never to what its name leads to."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"root's")
    victim.chmod(0o600)
    os.utime(victim, (1, 1))
    image.chmod(0o644)
    original = module._copy

    def replaced(source: int, fd: int, name: Path) -> None:
        original(source, fd, name)
        [temporary] = [path for path in folder.iterdir() if path.name.startswith(".")]
        temporary.rename(folder / "stolen")
        temporary.symlink_to(victim)

    with mounted("tmpfs", tmp_path, 320 * MIB) as folder:
        monkeypatch.setattr(module, "_copy", replaced)
        with pytest.raises(ImageInUse, match="replaced by another file"):
            move(image, folder / "there")
        assert not (folder / "there").exists()
    status = victim.stat()
    assert (status.st_mode & 0o777, status.st_mtime, victim.read_bytes()) == (0o600, 1, b"root's")
    assert image.exists()


def test_interrupted(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = module._copy

    def interrupted(source: int, fd: int, name: Path) -> None:
        original(source, fd, name)
        raise KeyboardInterrupt

    with mounted("tmpfs", tmp_path, 320 * MIB) as folder:
        monkeypatch.setattr(module, "_copy", interrupted)
        for work in (move, copy):
            with pytest.raises(KeyboardInterrupt):
                work(image, folder / "there")
            assert os.listdir(folder) == []
        assert image.exists()


def test_cp_that_fails(image: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        copy(tmp_path / "nowhere", tmp_path / "there")
    with mounted("tmpfs", tmp_path, MIB // 2) as folder:
        with pytest.raises(ProgramFailed, match=r"cp failed \(1\): .*No space left"):
            copy(image, folder / "there")
        assert os.listdir(folder) == []
    assert image.exists()
