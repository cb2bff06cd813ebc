"""The ledger: what each stage of a build left allocated, for people to read."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import NamedTuple

from .extents import allocated


class Entry(NamedTuple):
    """A stage: sizes of the image after it in bytes, and what it took in seconds."""

    stage: str
    apparent: int
    allocated: int
    seconds: float


class Ledger:
    """The stages of one build, in order, and remarks on them."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.notes: list[str] = []
        self._last = time.monotonic()

    def measure(self, stage: str, image: Path) -> None:
        """Add the sizes that ``image`` has now, and the time since the last measurement."""
        status = os.stat(image)
        now = time.monotonic()
        self.entries.append(
            Entry(stage, status.st_size, allocated(status), seconds=now - self._last)
        )
        self._last = now

    def table(self) -> str:
        """The ledger as lines of text."""
        rows = [("stage", "apparent", "allocated", "seconds")]
        rows += [
            (e.stage, human(e.apparent), human(e.allocated), f"{e.seconds:.1f}")
            for e in self.entries
        ]
        lines = [f"{a:<12}{b:>12}{c:>14}{d:>10}" for a, b, c, d in rows]
        return "\n".join(lines + self.notes)


def printable(text: str) -> str:
    """``text`` in one line, whatever it holds: paths and labels may have escape sequences."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def human(size: float) -> str:
    """A number of bytes in the unit that suits it: ``741.3 MiB``."""
    if size < 1024:
        return f"{size:.0f} B"
    exponent = min(int(math.log(size, 1024)), 4)
    return f"{size / 1024**exponent:.1f} {'KMGT'[exponent - 1]}iB"
