"""The search path of external programs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from bootstrapvz_sparse.util.errors import ProgramMissing
from bootstrapvz_sparse.util.programs import SYSTEM_FOLDERS, find, search_path

UNSAFE = (0o777, 0o757, 0o775)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    program = tmp_path / "bin" / "a-program"
    program.parent.mkdir(mode=0o755)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program.parent


def test_the_folders_of_the_system_are_added(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin")
    there = [each for each in SYSTEM_FOLDERS if os.path.isdir(each)]
    assert search_path().split(":") == [str(folder), "/usr/bin", *there]
    assert find("a-program") == str(folder / "a-program")


@pytest.mark.parametrize(
    ("place", "mode"),
    [
        *((place, mode) for place in ("bin", "bin/a-program") for mode in (*UNSAFE, 0o1777)),
        *(("", mode) for mode in UNSAFE),  # a parent may have the sticky bit
    ],
)
def test_ignores_what_other_users_can_replace(
    place: str, mode: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.parent / place).chmod(mode)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin")
    with pytest.raises(ProgramMissing, match="a-program is not installed"):
        find("a-program")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("place", ["bin", "bin/a-program"])
def test_ignores_what_belongs_to_another_user(
    place: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(folder.parent / place, 65533, 65533)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin")
    with pytest.raises(ProgramMissing, match="a-program is not installed"):
        find("a-program")


def test_finds_the_next_program_behind_an_unsafe_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsafe = tmp_path / "unsafe"
    unsafe.mkdir()
    shutil.copy(folder / "a-program", unsafe)
    (unsafe / "a-program").chmod(0o777)
    monkeypatch.setenv("PATH", f"{unsafe}:{folder}")
    assert find("a-program") == str(folder / "a-program")


@pytest.mark.parametrize("path", [".", "", "bin", "/nowhere"])
def test_not_from_wherever_we_are(path: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder if path != "bin" else folder.parent)
    monkeypatch.setenv("PATH", f"{path}:/usr/bin")
    with pytest.raises(ProgramMissing, match="a-program is not installed"):
        find("a-program")


def test_a_path_that_is_named_is_taken(folder: Path) -> None:
    assert find(str(folder / "a-program")) == str(folder / "a-program")
