"""The parts of the benchmark that its figures rest on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmark.copies import allocated
from tests.benchmark.images import _by_turns

MEASURE = Path(__file__).parents[1] / "benchmark" / "measure.py"


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", MEASURE, *words],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_commands_one_after_another_and_at_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # whoever opens one end waits for the other
    done = run("true", ";", "tee", pipe, "&", "cat", pipe, ";", "true")
    assert done.returncode == 0, done.stderr
    seconds, read, peak, least = done.stdout.split()
    assert float(seconds) > 0 and int(read) >= 0 and int(peak) > 0 and int(least) > 0


@pytest.mark.parametrize("words", [("false", "&", "true"), ("true", ";", "false")])
def test_a_command_that_fails(words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.returncode != 0 and "false: exit code 1" in done.stderr


@pytest.mark.parametrize("holes", [True, False])
def test_blocks_by_turns(holes: bool, tmp_path: Path) -> None:
    image = tmp_path / "image"
    _by_turns(100, holes=holes)(image, tmp_path)
    content = image.read_bytes()
    assert len(content) == 200 * 4096
    for place in range(0, len(content), 8192):
        assert any(content[place : place + 4096])
        assert not any(content[place + 4096 : place + 8192])
    os.sync()
    assert (allocated(image) < 150 * 4096) == holes
