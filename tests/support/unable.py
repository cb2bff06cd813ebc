"""The outcome of a test that this machine cannot run."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def unable(reason: str) -> NoReturn:
    """Skip the running test; fail it in CI, where a silent skip would prove nothing."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def need(*programs: str) -> None:
    """Skip the running test, or fail it in CI, if one of the programs is not installed."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        unable(f"not installed: {', '.join(missing)}")
