"""The copy of the source that packages are built from: see tests/support/wheel.py."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.unable import unable
from tests.support.wheel import copy_source

GIB = 1 << 30


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with a tracked, a changed and a deleted file, one not added, two ignored."""
    if shutil.which("git") is None:
        unable("the program git is not there")
    path = tmp_path / "clone"
    (path / "bench").mkdir(parents=True)
    (path / "images").mkdir()
    for name in ("tracked", "changed", "deleted"):
        (path / name).write_text(name)
    (path / ".gitignore").write_text("/bench\n/images\n")
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", "-C", path, *command], check=True, capture_output=True)
    (path / "changed").write_text("new content")
    (path / "deleted").unlink()
    (path / "new").write_text("not added yet")
    for name in ("bench/10GiB.raw", "images/disk.raw"):
        with (path / name).open("wb") as file:
            file.truncate(100 * GIB)
    return path


def test_ignored_images_are_not_copied(clone: Path, tmp_path: Path) -> None:
    copy_source(clone, tmp_path / "copy")
    copied = {str(p.relative_to(tmp_path / "copy")) for p in (tmp_path / "copy").rglob("*")}
    assert copied == {".gitignore", "tracked", "changed"}
    assert (tmp_path / "copy" / "changed").read_text() == "new content"


def test_holes_stay_holes(clone: Path, tmp_path: Path) -> None:
    with (clone / "changed").open("wb") as file:
        file.truncate(GIB)
        os.pwrite(file.fileno(), b"end", GIB - 3)
    copy_source(clone, tmp_path / "copy")
    status = (tmp_path / "copy" / "changed").stat()
    assert status.st_size == GIB and 512 * status.st_blocks < 1 << 20


def test_source_without_git_is_copied_as_far_as_known(tmp_path: Path) -> None:
    """A source distribution is no repository: only what belongs to a package is copied."""
    source = tmp_path / "source"
    (source / "bootstrapvz_sparse").mkdir(parents=True)
    (source / "bench").mkdir()
    for name in ("setup.py", "bootstrapvz_sparse/cli.py", "bench/disk.raw"):
        (source / name).write_text("")
    copy_source(source, tmp_path / "copy")
    copied = {str(p.relative_to(tmp_path / "copy")) for p in (tmp_path / "copy").rglob("*.*")}
    assert copied == {"setup.py", "bootstrapvz_sparse/cli.py"}
