"""Fixtures of small builds: bootstrap-vz, fakes for debootstrap and chroot, failing tasks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bootstrapvz_sparse import upstream
from bootstrapvz_sparse.builder import leftovers

upstream.install()  # before any test imports bootstrap-vz

TESTS = Path(__file__).parent.parent


@pytest.fixture
def fakes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Put the fakes first in PATH, and fail where a build left anything.

    They are copied, since programs in a clone of another user are not run.
    """
    folder = tmp_path_factory.mktemp("fakes")
    for program in ("chroot", "debootstrap"):
        shutil.copy(TESTS / "support" / "fakes" / program, folder)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    namespace = os.readlink("/proc/self/ns/mnt")
    yield
    assert os.readlink("/proc/self/ns/mnt") == namespace
    assert not leftovers.mounts(tmp_path) and not leftovers.loop_devices(tmp_path)


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make a task fail once: before it has done anything, or at its end."""

    def make(task: Any, error: BaseException, *, at_its_end: bool) -> None:
        original, left = task.run, [error]

        def failing(cls: Any, info: Any) -> None:
            if at_its_end or not left:
                original(info)
            if left:
                raise left.pop()

        monkeypatch.setattr(task, "run", classmethod(failing))

    return make
