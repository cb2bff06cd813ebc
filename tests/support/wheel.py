"""The wheel and the source distribution, built from a copy of the source."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[2]


def build(folder: Path, *formats: str) -> list[Path]:
    """Build ``formats`` (``--wheel``, ``--sdist``) into ``folder``."""
    # setuptools would take what an earlier build left in the source tree
    source = folder / "source"
    left_out = shutil.ignore_patterns(".*", "build", "images", "tests", "*.egg-info")
    shutil.copytree(SOURCE, source, ignore=left_out)
    command = [sys.executable, "-m", "build", *formats, "-o", folder, source]
    subprocess.run(command, check=True, capture_output=True)
    return sorted(folder.glob("bootstrapvz_sparse-*"))
