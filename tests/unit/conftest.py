"""Unit tests need no root and start no process."""

from __future__ import annotations

import subprocess
from typing import NoReturn

import pytest


@pytest.fixture(autouse=True)
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **keywords: object) -> NoReturn:
        raise AssertionError(f"a unit test starts a process: {arguments}")

    monkeypatch.setattr(subprocess, "Popen", refuse)
