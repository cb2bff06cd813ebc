"""XFS needs xfsprogs."""

from __future__ import annotations

import shutil

import pytest

from tests.support.unable import unable


@pytest.fixture(autouse=True)
def xfsprogs() -> None:
    if shutil.which("mkfs.xfs") is None:
        unable("xfsprogs is not there")
