"""tools/test_host.py, which make test-host runs: its choice of a mirror, and refusals."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "test_host.py"
MIRROR = "http://mirror/debian/"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([f"{MIRROR} trixie main"], MIRROR),
        ([f"{MIRROR} sid main"], MIRROR),
        (["http://other/ nodistro main", f"{MIRROR} trixie main"], MIRROR),
        (["http://mirror/security/ trixie-security main", f"{MIRROR} trixie main"], MIRROR),
        ([f"{MIRROR} trixie contrib"], ""),
        (["file:/srv/packages/ trixie main"], ""),
        ([f"{MIRROR} bookworm main"], ""),
        ([], ""),
    ],
)
def test_mirror_of_apt_sources(lines: list[str], expected: str) -> None:
    assert runpy.run_path(str(SCRIPT))["choose_mirror"](lines, "trixie") == expected


@pytest.mark.parametrize("release", ["../trixie", "Trixie", "13"])
def test_refuses_what_is_not_a_code_name(release: str) -> None:
    done = subprocess.run([sys.executable, SCRIPT, release], capture_output=True, text=True)
    assert done.returncode == 2 and "not the code name of a release" in done.stderr
