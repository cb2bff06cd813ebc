"""The short form of ``make torture``: a few cases of each part."""

from __future__ import annotations

from pathlib import Path

import pytest

from .parts import PARTS, Job, Tally, load

pytestmark = pytest.mark.loop

SHARES = {"damage": 0.02, "fuzz": 0.02, "kills": 0.01, "faults": 0.03, "builds": 0.07}


@pytest.mark.parametrize("part", PARTS)
def test_short(part: str, tmp_path: Path) -> None:
    tally = Tally()
    load(part)(Job(tmp_path, share=SHARES[part]), tally)
    assert tally.failures == []
    assert tally.sound, tally.line()
    assert tally.tried or tally.remarks
