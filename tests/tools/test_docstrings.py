"""tools/docstrings.py, a part of make lint, finds docstrings with a wrong first word."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "docstrings.py"


def check(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = folder / "module.py"
    path.write_text(text)
    return subprocess.run([sys.executable, SCRIPT, path], capture_output=True, text=True)


@pytest.mark.parametrize("word", ["What", "Whether", "Those", "Where", "Of", "In", "By", "How"])
@pytest.mark.parametrize(
    ("template", "line"),
    [
        ('"""{} it is."""', 1),
        ('class A:\n    """{} it is."""', 2),
        ('class A:\n    async def b(self):\n        """{} it is.\n\n        More.\n        """', 3),
    ],
    ids=["module", "class", "function"],
)
def test_wrong_first_word_is_reported(word: str, template: str, line: int, tmp_path: Path) -> None:
    done = check(template.format(word), tmp_path)
    assert done.returncode == 1
    [reported] = done.stdout.splitlines()
    assert reported.endswith(f"{word} it is.") and f"module.py:{line}: " in reported


@pytest.mark.parametrize(
    "text",
    ['"""Inspect it."""', '"""Return what it is."""', '"""Format it."""', "x = 'What it is.'", ""],
)
def test_other_text_passes(text: str, tmp_path: Path) -> None:
    done = check(text, tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
