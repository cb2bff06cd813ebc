"""Workers of pytest-xdist: a group of tests that must not run side by side stays in one of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

MODULE = """
import os, pytest

@pytest.mark.xdist_group("group")
@pytest.mark.parametrize("number", range(8))
def test(number):
    with open("workers", "a") as file:
        file.write(os.environ["PYTEST_XDIST_WORKER"] + "\\n")
"""


def test_group_stays_in_one_worker(tmp_path: Path) -> None:
    (tmp_path / "test_module.py").write_text(MODULE)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")
    }
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup"]
    subprocess.run(
        [*command, "--basetemp", tmp_path / "temporary", "test_module.py"],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
    )
    workers = (tmp_path / "workers").read_text().split()
    assert len(workers) == 8 and len(set(workers)) == 1
