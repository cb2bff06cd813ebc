"""Results that take long, made once for all workers of a test run."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


def folder(factory: pytest.TempPathFactory) -> Path:
    """Return the folder that all workers of this run share."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    path = base / "shared"
    path.mkdir(exist_ok=True)
    return path


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on the file, which is created if it is not there."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def once(path: Path, make: Callable[[Path], object]) -> Path:
    """Return the folder ``path`` that ``make`` fills, called by the first worker that needs it.

    :raises AssertionError: it failed, in whichever worker
    """
    complete, failed = path.with_suffix(".complete"), path.with_suffix(".failed")
    with locked(path.with_suffix(".lock")):
        if failed.exists():
            raise AssertionError(failed.read_text())
        if not complete.exists():
            path.mkdir()
            try:
                make(path)
            except BaseException as error:
                failed.write_text(f"failed before: {error!r}")
                raise
            complete.touch()
    return path
