"""Folders that other users can write or replace."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bootstrapvz_sparse.util.permissions import unsafe_reason


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in a folder; below /tmp, which is sticky, and safe whatever the umask is."""
    path = tmp_path / "outer" / "inner"
    path.mkdir(parents=True)
    for place in (path.parent, path):
        place.chmod(0o755)
    return path


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757, 0o722])
@pytest.mark.parametrize("place", ["outer", "outer/inner"])
def test_refuses_folders_that_others_write(
    mode: int, place: str, folder: Path, tmp_path: Path
) -> None:
    assert unsafe_reason(folder) is None
    (tmp_path / place).chmod(mode)
    assert unsafe_reason(folder) == (
        f"{tmp_path / place} is writable by other users (mode {mode:04o})"
    )


def test_sticky_parents_are_safe(folder: Path) -> None:
    folder.parent.chmod(0o1777)
    assert unsafe_reason(folder) is None
    folder.chmod(0o1777)
    assert unsafe_reason(folder) == f"{folder} is writable by other users (mode 1777)"
    assert unsafe_reason(folder, shared=True) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("place", ["outer", "outer/inner"])
def test_refuses_folders_of_other_users(place: str, folder: Path, tmp_path: Path) -> None:
    os.chown(tmp_path / place, 65533, -1)
    assert unsafe_reason(folder) == f"{tmp_path / place} belongs to user 65533"
    assert unsafe_reason(folder, [65533]) is None


def test_follows_symbolic_links(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder)
    folder.parent.chmod(0o777)
    assert unsafe_reason(link) is not None


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        unsafe_reason(tmp_path / "missing")
