"""Fixtures of small builds: bootstrap-vz, fakes for debootstrap and chroot, failing tasks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bootstrapvz_sparse import upstream
from bootstrapvz_sparse.builder import leftovers

upstream.install()  # before any test imports bootstrap-vz

TESTS = Path(__file__).parent.parent


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The fakes come first in PATH, and what is not undone afterwards is an error."""
    monkeypatch.setenv("PATH", str(TESTS / "support" / "fakes"), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    yield
    assert not leftovers.mounts(tmp_path) and not leftovers.loop_devices(tmp_path)


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes a task fail once: before it has done anything, or when it has done all."""

    def make(task: Any, error: BaseException, *, at_its_end: bool) -> None:
        original, left = task.run, [error]

        def failing(cls: Any, info: Any) -> None:
            if at_its_end or not left:
                original(info)
            if left:
                raise left.pop()

        monkeypatch.setattr(task, "run", classmethod(failing))

    return make
