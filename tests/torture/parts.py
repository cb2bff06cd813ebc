"""The parts of the torture, and what one of them is given and tells."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

# Each is a module of this package with a function ``run``.
PARTS = (
    *("damage", "fuzz", "signatures", "sealed"),
    *("neighbours", "kills", "faults", "builds"),
)

Run = Callable[["Job", "Tally"], None]


@dataclass(frozen=True)
class Job:
    """A task for a part: ``share`` of its full form, in its own ``folder``.

    The same ``seed`` gives the same choices. ``only``: the one case that is to be repeated.
    """

    folder: Path
    seed: int = 1
    share: float = 1.0
    only: str | None = None
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)

    def count(self, full: int) -> int:
        """Return the number of cases to try, of ``full``."""
        return max(round(full * self.share), 1)


@dataclass
class Tally:
    """The number of cases and their outcomes.

    ``tried``: cases by kind, of which ``images``, ``swaps``, ``kills`` and ``faults`` are in the
    last line.
    ``lost``: bytes in use that changed. ``failures``: a line for each case that went wrong, with
    what repeats it. ``remarks``: what was not done, and why.
    """

    tried: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    tracebacks: int = 0
    hangs: int = 0
    leftovers: int = 0
    failures: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.tried += other.tried
        self.outcomes += other.outcomes
        self.lost += other.lost
        self.tracebacks += other.tracebacks
        self.hangs += other.hangs
        self.leftovers += other.leftovers
        self.failures += other.failures
        self.remarks += other.remarks

    @property
    def sound(self) -> bool:
        return not (self.failures or self.lost or self.tracebacks or self.hangs or self.leftovers)

    def line(self) -> str:
        """The line of figures."""
        figures = {
            "images": self.tried["images"],
            "swaps": self.tried["swaps"],
            "kills": self.tried["kills"],
            "faults": self.tried["faults"],
            "lost bytes": self.lost,
            "tracebacks": self.tracebacks,
            "hangs": self.hangs,
            "leftovers": self.leftovers,
        }
        return ", ".join(f"{name} {figure:,}" for name, figure in figures.items())


def load(name: str) -> Run:
    """The part ``name`` of :data:`PARTS`."""
    run: Run = import_module(f".{name}", __package__).run
    return run
