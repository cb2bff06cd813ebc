"""Running the commands as users do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.ext import fill, mke2fs

COMMAND = [sys.executable, "-m", "bootstrapvz_sparse.cli"]
LIMIT = 60  # seconds for a command
COLOURS = ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "TERM")
PLAIN = {name: value for name, value in os.environ.items() if name not in COLOURS}


def whole_ext4(folder: Path) -> Path:
    """Make an ext4 filesystem with files, deleted files and zeros, all of it allocated."""
    path, sparse = folder / "image.raw", folder / "sparse"
    mke2fs(sparse, ["-t", "ext4"], size=32 << 20)
    fill(sparse, seed=1)
    subprocess.run(["cp", "--sparse=never", sparse, path], check=True, timeout=LIMIT)
    sparse.unlink()
    return path


def printed(capsys: pytest.CaptureFixture[str]) -> tuple[str, list[str]]:
    """Return the text on stdout, and the lines on stderr."""
    captured = capsys.readouterr()
    return captured.out, captured.err.splitlines()
