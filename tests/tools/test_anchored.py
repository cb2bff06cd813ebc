"""A folder that its owner exchanges for a link to another one while an image in it is worked on."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bootstrapvz_sparse.image import move as module
from bootstrapvz_sparse.image import sparsify
from bootstrapvz_sparse.image.methods import external
from bootstrapvz_sparse.util.errors import ImageInUse

MIB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("folder", "victims"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "disk.raw").write_bytes(name.encode() * MIB)
    return tmp_path / "folder"


@pytest.fixture
def exchange(folder: Path) -> Callable[..., None]:
    def exchange(*arguments: object) -> None:
        folder.rename(folder.with_name("kept"))
        folder.symlink_to(folder.with_name("victims"))

    return exchange


def _victims(folder: Path) -> tuple[list[str], int, bytes]:
    victims = folder.with_name("victims")
    content = (victims / "disk.raw").read_bytes()
    return os.listdir(victims), victims.stat().st_mtime_ns, content


def test_move(folder: Path, exchange: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    def rename(*names: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    before = _victims(folder)
    monkeypatch.setattr(module.os, "rename", rename)
    monkeypatch.setattr(module, "_compare", lambda *_: (monkeypatch.undo(), exchange()))
    module.move(folder / "disk.raw", folder / "moved.raw")
    assert _victims(folder) == before
    assert os.listdir(folder.with_name("kept")) == ["moved.raw"]


def test_second_file(
    folder: Path, exchange: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _victims(folder)
    monkeypatch.setattr(external, "free_for_programs", exchange)
    with pytest.raises(ImageInUse):
        sparsify(folder / "disk.raw", method="copy")
    assert _victims(folder) == before
    assert os.listdir(folder.with_name("kept")) == ["disk.raw"]
