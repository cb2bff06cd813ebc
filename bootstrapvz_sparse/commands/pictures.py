"""The options ``--svg`` and ``--html``, and the files that they name."""

from __future__ import annotations

import argparse
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from ..util.temporary import temporary
from .streams import print_output

STANDARD_OUTPUT = Path("-")


def add_pictures(parser: argparse.ArgumentParser, *, svg: str, html: str) -> None:
    """Add both options; ``svg`` and ``html`` name the subject of each for the help text."""
    for option, drawn, form in (("--svg", svg, "SVG"), ("--html", html, "one HTML page")):
        parser.add_argument(
            option,
            type=Path,
            metavar="FILE",
            help=f"draw {drawn} as {form} into FILE (- is standard output)",
        )


def conflict(svg: Path | None, html: Path | None, sources: Iterable[Path], drawn: str) -> str:
    """Return the reason why the pictures of ``sources`` cannot be written, or "".

    ``drawn`` is the word for a source.
    """
    if svg is not None and svg == html:
        return f"{svg}: named by both --svg and --html (use two files)"
    for path in (svg, html):
        if path is not None and path != STANDARD_OUTPUT and path.exists():
            for source in sources:
                if source.exists() and path.samefile(source):
                    return f"{path}: refusing to overwrite the {drawn} with its picture"
    return ""


def write(path: Path, text: str) -> None:
    """Write a picture; an existing file is replaced once the new one is complete.

    :raises OutputFailed: standard output cannot be written
    :raises OSError: the file cannot be written
    """
    if path == STANDARD_OUTPUT:
        print_output(text.rstrip("\n"))
        return
    path = Path(os.path.realpath(path))
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):  # a device or a pipe
        path.write_text(text, encoding="utf-8")
        return
    with temporary(path) as file:
        with open(file.fd, "w", encoding="utf-8", closefd=False) as stream:
            stream.write(text)
        os.fchmod(file.fd, 0o644)
        file.place(path)
