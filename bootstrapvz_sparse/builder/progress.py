"""The progress of a slow program, parsed from its output."""

from __future__ import annotations

import re

from ..util.text import printable

BEGINS = "Executing: "  # logged by bootstrap-vz before it runs a program
# Lines of debootstrap, apt-get and dpkg that name a step and a package.
DEBOOTSTRAP = re.compile(
    r"I: (Retrieving|Validating) (\S+) \S+$|I: (Extracting|Unpacking|Configuring) (\S+?)\.\.\.$"
)
APT = re.compile(r"(Get):(\d+) \S+ (.+?)(?: \[.*)?$")
DPKG = re.compile(r"(Unpacking|Setting up) (\S+) \(")
TOTAL = re.compile(r"(\d+) upgraded, (\d+) newly installed")
FETCHED = ("Retrieving", "Validating")  # by debootstrap: their number is known afterwards


class Progress:
    """The progress of one program; ``text``: ``unpacking 45 of 132: libc6``, or empty."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.text = ""
        self._total = 0  # 0: unknown
        self._seen: dict[str, set[str]] = {}

    def update(self, line: str) -> None:
        """Parse a line of output."""
        if line.startswith(BEGINS):
            self._begin()
        elif found := TOTAL.match(line):
            self._total = int(found[1]) + int(found[2])
        elif found := DEBOOTSTRAP.match(line):
            step, package = found[1] or found[3], found[2] or found[4]
            if step not in FETCHED:
                self._total = max(len(self._seen.get(fetched, ())) for fetched in FETCHED)
            self._count(step, package)
        elif found := APT.match(line):
            # of a package: archive, suite/component, architecture, name, architecture, version
            words = found[3].split()
            self._count("downloading", words[2] if len(words) > 3 else found[3])
        elif found := DPKG.match(line):
            self._count(found[1], found[2])

    def _count(self, step: str, package: str) -> None:
        seen = self._seen.setdefault(step, set())
        seen.add(package)
        of = f" of {self._total}" if self._total >= len(seen) else ""
        self.text = f"{step.lower()} {len(seen)}{of}: {printable(package)}"
