"""The options ``--svg`` and ``--html``, and the files that they name."""

from __future__ import annotations

import argparse
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from .streams import say

STANDARD_OUTPUT = Path("-")


def add_pictures(parser: argparse.ArgumentParser, what: str) -> None:
    for option, form in (("--svg", "an SVG"), ("--html", "a page of HTML")):
        parser.add_argument(
            option,
            type=Path,
            metavar="FILE",
            help=f"draw {what} as {form} that needs no other file; - is standard output",
        )


def to_standard_output(options: argparse.Namespace) -> bool:
    """Whether a picture takes the place of the text."""
    return STANDARD_OUTPUT in (options.svg, options.html)


def clash(options: argparse.Namespace, read: Iterable[Path]) -> str:
    """Why the pictures cannot be written where they are to be; "" where they can."""
    if options.svg is not None and options.svg == options.html:
        return f"--svg and --html name one file: {options.svg}"
    for path in (options.svg, options.html):
        if path is not None and path != STANDARD_OUTPUT and path.exists():
            for source in read:
                if source.exists() and path.samefile(source):
                    return f"{path} would be overwritten: it is what is to be drawn"
    return ""


def write(path: Path, text: str) -> None:
    """Write a picture; one that is there is replaced once the new one is complete.

    :raises OutputFailed: standard output cannot be written
    :raises OSError: the file cannot be written
    """
    from ..util.temporary import temporary

    if path == STANDARD_OUTPUT:
        say(text.rstrip("\n"))
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
