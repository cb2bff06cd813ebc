"""Files that are not complete yet: who sees them, and what becomes of them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bootstrapvz_sparse.image import sparsify
from bootstrapvz_sparse.util import programs
from bootstrapvz_sparse.util.errors import SparseError
from bootstrapvz_sparse.util.temporary import (
    remove_stale,
    stale,
    temporary,
    temporary_folder,
)
from bootstrapvz_sparse.util.trees import remove_tree
from tests.support.mounting import run
from tests.support.nobody import as_nobody

LEAVING = """
import os, sys
from pathlib import Path
from bootstrapvz_sparse.util.temporary import temporary, temporary_folder
with temporary(Path(sys.argv[1])) as file, temporary_folder(Path(sys.argv[1])) as folder:
    (folder / "in it").write_bytes(b"x")
    os.kill(os.getpid(), 9)
"""


def leave(path: Path) -> list[Path]:
    """Return the files that a killed run leaves beside ``path``."""
    before = set(path.parent.iterdir())
    subprocess.run([sys.executable, "-c", LEAVING, path])
    return sorted(set(path.parent.iterdir()) - before)


def test_it_gets_its_name_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    path.write_text("old")
    with temporary(path) as file:
        os.write(file.fd, b"new")
        status = file.path.stat()
        assert stat.S_IMODE(status.st_mode) == 0o600 and status.st_uid == os.geteuid()
        assert file.path.parent == tmp_path and path.read_text() == "old"
        file.place(path)
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["disk.raw"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, FileExistsError, OSError])
def test_nothing_is_left_of_what_fails(error: type[BaseException], tmp_path: Path) -> None:
    with pytest.raises(error), temporary(tmp_path / "disk.raw"):
        raise error
    with pytest.raises(error), temporary_folder(tmp_path / "disk.raw") as folder:
        (folder / "in it").mkdir()
        raise error
    assert os.listdir(tmp_path) == []


def test_a_name_that_is_exchanged(tmp_path: Path) -> None:
    """Neither is what it leads to written, nor is it taken for the result, nor removed."""
    path, other = tmp_path / "disk.raw", tmp_path / "somebody's"
    other.write_text("theirs")
    with pytest.raises(SparseError, match="replaced by another file"), temporary(path) as file:
        file.path.unlink()
        file.path.symlink_to(other)
        programs.run("cp", "/etc/passwd", programs.same_file(file.fd), fds=[file.fd])
        file.place(path)
    assert not path.exists() and other.read_text() == "theirs"
    [left] = [each for each in tmp_path.iterdir() if each != other]
    assert left.is_symlink()


def test_what_a_killed_run_left_goes_with_the_next(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    left = leave(path)
    assert len(left) == 2
    with temporary(path) as working:
        assert remove_stale(path) == []  # the others went when it was made; this one is at work
        assert [each for each in tmp_path.iterdir() if each != working.path] == []


def test_the_next_run_says_so(tmp_path: Path) -> None:
    image = tmp_path / "disk.raw"
    image.write_bytes(bytes(1 << 20))
    left = leave(image)
    assert sparsify(image, dry_run=True).notes[0].startswith("the filesystem")
    assert len(list(tmp_path.iterdir())) == 3
    notes = sparsify(image).notes
    assert sorted(notes[:2]) == [
        f"{each.name} was removed: a run that was killed left it behind" for each in left
    ]
    assert list(tmp_path.iterdir()) == [image]


def test_what_only_looks_like_it_stays(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    names = [
        ".disk.raw.0123456.bvz-sparse",  # a digit too few
        ".disk.raw.0123456g.bvz-sparse",
        ".disk.raw2.01234567.bvz-sparse",  # another image's
        "disk.raw.01234567.bvz-sparse",
        ".disk.raw.01234567.bvz-sparse2",
    ]
    for name in names:
        (tmp_path / name).write_text("somebody's")
    (tmp_path / ".disk.raw.01234567.bvz-sparse").symlink_to(names[0])
    os.mkfifo(tmp_path / ".disk.raw.01234568.bvz-sparse")
    foreign = tmp_path / ".disk.raw.01234569.bvz-sparse"
    foreign.write_text("of another user")
    if os.geteuid() == 0:
        os.chown(foreign, 1, 1)
    else:
        foreign.unlink()
    there = sorted(os.listdir(tmp_path))
    remove_stale(path)
    assert sorted(os.listdir(tmp_path)) == there


TAKEN = ".disk.raw.0123abcd.bvz-sparse"  # looks like one of ours


def test_renamed_files_and_folders_stay(tmp_path: Path) -> None:
    """A user can rename files of others in a folder of their own."""
    path, folder = tmp_path / "disk.raw", tmp_path / TAKEN
    file = tmp_path / TAKEN.replace("0123", "4567")
    folder.mkdir()
    (folder / "precious").write_text("content")
    file.write_text("content")
    assert remove_stale(path) == [] and stale(tmp_path, remove=True) == []
    assert (folder / "precious").exists() and file.exists()


def test_a_copy_of_a_leftover_stays(tmp_path: Path) -> None:
    """A copy that was made with its attributes is meant to be kept."""
    left = leave(tmp_path / "disk.raw")
    copies = [tmp_path / TAKEN.replace("0", str(number)) for number in range(len(left))]
    for each, copy in zip(left, copies):
        subprocess.run(["cp", "--archive", each, copy], check=True)
    assert sorted(remove_stale(tmp_path / "disk.raw")) == left
    assert sorted(tmp_path.iterdir()) == sorted(copies)


def test_what_was_killed_before_it_was_marked(tmp_path: Path) -> None:
    (tmp_path / TAKEN).mkdir()
    (tmp_path / TAKEN.replace("0123", "4567")).touch()
    assert len(remove_stale(tmp_path / "disk.raw")) == 2
    assert os.listdir(tmp_path) == []


def test_the_mark_does_not_outlive_it(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    with temporary(path) as file:
        assert os.listxattr(file.fd) == ["user.bvz-sparse"]
        file.place(path)
    assert os.listxattr(path) == []


@pytest.mark.loop
@pytest.mark.parametrize("bind", [True, False], ids=["bind", "tmpfs"])
def test_nothing_goes_behind_a_mount_point(bind: bool, tmp_path: Path) -> None:
    other, folder = tmp_path / "other", tmp_path / "folder"
    for each in (other, folder / "a" / "mounted", folder / "b" / "link"):
        each.mkdir(parents=True)
    (folder / "b" / "link" / "to").symlink_to(other)
    (other / "precious").write_text("content")
    point = folder / "a" / "mounted"
    options = ["--bind", other] if bind else ["-t", "tmpfs", "tmpfs"]
    run("mount", *options, point)
    try:
        (point / "too").write_text("content")
        assert not remove_tree(folder)
        assert (point / "too").exists() and (other / "precious").exists()
        assert os.listdir(folder) == ["a"]
        assert not remove_tree(point)  # nor the mount point itself
    finally:
        run("umount", point)
    assert remove_tree(folder) and (other / "precious").exists()


def test_only_the_folder_that_is_meant(tmp_path: Path) -> None:
    folder, other = tmp_path / "folder", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    (folder / "file").touch()
    assert not remove_tree(folder, other.stat().st_ino) and (folder / "file").exists()
    assert remove_tree(folder, folder.stat().st_ino) and not folder.exists()
    other.rmdir()
    other.symlink_to(tmp_path)
    assert not remove_tree(other)
    assert remove_tree(tmp_path / "missing")


def test_long_names_and_odd_bytes(tmp_path: Path) -> None:
    for name in ("x" * 255, os.fsdecode(b"\xff\n[.*" + b"\xe4" * 200)):
        path = tmp_path / name
        assert len(leave(path)) == 2
        with temporary(path) as file:
            file.place(path)
        assert list(tmp_path.iterdir()) == [path]
        path.unlink()


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    with temporary(tmp_path / "disk.raw") as file, temporary_folder(tmp_path / "d") as folder:

        def work() -> None:
            with pytest.raises(PermissionError):
                file.path.open("rb")
            with pytest.raises(PermissionError):
                os.listdir(folder)

        as_nobody(work)
