"""Where the programs of others are looked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bootstrapvz_sparse.util.errors import ProgramMissing
from bootstrapvz_sparse.util.programs import SYSTEM_FOLDERS, find, search_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    program = tmp_path / "bin" / "a-program"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program.parent


def test_the_folders_of_the_system_are_added(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin")
    there = [each for each in SYSTEM_FOLDERS if os.path.isdir(each)]
    assert search_path().split(":") == [str(folder), "/usr/bin", *there]
    assert find("a-program") == str(folder / "a-program")


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o757])
def test_not_from_a_folder_that_anybody_can_write(
    mode: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.chmod(mode)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin")
    with pytest.raises(ProgramMissing, match="a-program is not installed"):
        find("a-program")


@pytest.mark.parametrize("path", [".", "", "bin", "/nowhere"])
def test_not_from_wherever_we_are(path: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder if path != "bin" else folder.parent)
    monkeypatch.setenv("PATH", f"{path}:/usr/bin")
    with pytest.raises(ProgramMissing, match="a-program is not installed"):
        find("a-program")


def test_a_path_that_is_named_is_taken(folder: Path) -> None:
    assert find(str(folder / "a-program")) == str(folder / "a-program")
