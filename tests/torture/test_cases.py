"""Inputs that a parser once could not stand, and what fuzzing begins with."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from tests.support.unable import unable
from tests.torture.fuzz import LIMIT, PARSERS
from tests.torture.targets import TARGETS

CASES = sorted((Path(__file__).parent / "cases").glob("*/*"))


@pytest.mark.parametrize("case", CASES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_found_by_fuzzing(case: Path) -> None:
    if case.parent.name == "table" and shutil.which("sfdisk") is None:
        unable("sfdisk is not there")
    began = time.monotonic()
    TARGETS[case.parent.name](case.read_bytes())
    assert time.monotonic() - began < LIMIT


def test_all_parsers_are_fuzzed() -> None:
    assert set(PARSERS) == set(TARGETS)
