"""The wheel and the source distribution, built from a copy of the source."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[2]
# Copied where git cannot tell, as from a source distribution.
NEEDED = (
    *("CHANGELOG.md", "LICENSE", "MANIFEST.in", "README.md", "bootstrapvz_sparse"),
    *("pyproject.toml", "setup.py"),
)


def copy_source(source: Path, target: Path) -> None:
    """Copy the tracked files as they are now; never an ignored one, and never a hole as zeros."""
    target.mkdir()
    git = ["git", "-c", f"safe.directory={source}", "-C", source, "ls-files", "-z"]
    if (source / ".git").exists():
        listed = subprocess.run(git, check=True, capture_output=True, text=True).stdout
        names = listed.rstrip("\0").split("\0")
    else:
        names = list(NEEDED)
    present = [name for name in names if (source / name).exists()]
    copy = ["cp", "-R", "--parents", "--sparse=always", f"--target-directory={target}", "--"]
    subprocess.run([*copy, *present], cwd=source, check=True, capture_output=True)


def build(folder: Path, *formats: str) -> list[Path]:
    """Build ``formats`` (``--wheel``, ``--sdist``) into ``folder``.

    :raises CalledProcessError: the build fails
    """
    source = folder / "source"
    copy_source(SOURCE, source)
    command = [sys.executable, "-m", "build", *formats, "-o", folder, source]
    subprocess.run(command, check=True, capture_output=True)
    return sorted(folder.glob("bootstrapvz_sparse-*"))
