"""Make the pictures of ``pictures.md`` before the pages are read, unless they exist."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sphinx.application import Sphinx

MADE = ("inspect.svg", "report.svg")


def make(app: Sphinx) -> None:
    folder = Path(app.srcdir, "_generated")
    if not all((folder / name).exists() for name in MADE):
        # in a process of its own: it changes the working directory
        subprocess.run([sys.executable, Path(app.srcdir, "make_pictures.py")], check=True)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", make)
    return {"parallel_read_safe": True}
