"""The short form of ``make torture``: a few cases of each part."""

from __future__ import annotations

from pathlib import Path

import pytest

from .parts import PARTS, Job, Tally, load

pytestmark = [pytest.mark.loop, pytest.mark.long, pytest.mark.timeout(900)]

SHARES = {
    "damage": 0.02,
    "signatures": 0.005,
    "sealed": 0.03,
    "guests": 0.04,
    "neighbours": 0.008,
    "fuzz": 0.02,
    "kills": 0.01,
    "faults": 0.03,
    "builds": 0.07,
}


# its builds and their neighbour have nodes in /dev
GROUPS = {"builds": pytest.mark.xdist_group("partition-nodes")}


@pytest.mark.parametrize("part", [pytest.param(part, marks=GROUPS.get(part, ())) for part in PARTS])
def test_short(part: str, tmp_path: Path) -> None:
    tally = Tally()
    load(part)(Job(tmp_path, share=SHARES[part]), tally)
    assert tally.failures == []
    assert tally.sound, tally.line()
    assert tally.tried or tally.remarks
