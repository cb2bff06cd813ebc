"""The ledger: what each stage of a build left allocated, for people to read."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, NamedTuple

from ..image.extents import allocated
from ..util.errors import InvalidReport
from ..util.text import as_utf8, human, printable

LEDGER_VERSION = 1  # of the layout of its JSON
LIMITS = {"allocated": "for the image, on disk", "tarball": "for the size of the tarball"}


class Entry(NamedTuple):
    """A stage: sizes of the image after it in bytes, and what it took in seconds.

    ``method``: how it was done, where there are several ways.
    """

    stage: str
    apparent: int
    allocated: int
    seconds: float
    method: str = ""


class Ledger:
    """The stages of one build, in order; what was proved of the image, and remarks.

    ``peak``: the most that was allocated before the image was made sparse, in bytes, once it is
    known; ``limits``: the most that the image may have allocated in the end, and its tarball.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.peak: int | None = None
        self.limits: dict[str, int | None] = {"allocated": None, "tarball": None}
        self.verified: list[str] = []
        self.notes: list[str] = []
        self._last = time.monotonic()

    def measure(self, stage: str, image: Path, *, method: str = "") -> Entry:
        """Add the sizes that ``image`` has now, and the time since the last measurement."""
        status = os.stat(image)
        now = time.monotonic()
        entry = Entry(stage, status.st_size, allocated(status), now - self._last, method)
        self.entries.append(entry)
        self._last = now
        return entry

    def table(self) -> str:
        """The ledger as lines of text."""
        rows = [("stage", "file size", "on disk", "time", "")]
        rows += [
            (e.stage, human(e.apparent), human(e.allocated), f"{e.seconds:.1f} s", e.method)
            for e in self.entries
        ]
        if self.peak is not None:
            rows.append(("peak", "", human(self.peak), "", "the most on disk during the build"))
        for kind, limit in self.limits.items():
            if limit is not None:
                rows.append(("limit", "", human(limit), "", LIMITS[kind]))
        lines = [f"{a:<12}{b:>12}{c:>14}{d:>10}  {e}".rstrip() for a, b, c, d, e in rows]
        if self.entries:
            lines.append("on disk: what the file occupies; the rest of its size is holes")
        lines += [f"verified: {text}" for text in self.verified]
        return "\n".join(lines + [printable(note) for note in self.notes])

    def json(self, image: str | None, tarball: str | None = None) -> dict[str, Any]:
        """The ledger for programs; ``docs/ledger.schema.json`` describes it.

        ``image``, ``tarball``: the paths where they are in the end; None where there is none.
        """
        return {
            "version": LEDGER_VERSION,
            "image": image and as_utf8(image),
            "tarball": tarball and as_utf8(tarball),
            "stages": [
                {**e._asdict(), "seconds": round(e.seconds, 3), "method": e.method or None}
                for e in self.entries
            ],
            "peak": self.peak,
            "limit": self.limits,
            "verified": self.verified,
            "notes": [as_utf8(note) for note in self.notes],
        }


def load(text: bytes) -> tuple[Ledger, str]:
    """The ledger that was written as JSON, and the name of what was built.

    :raises InvalidReport: it was not
    """
    import json

    try:
        document = json.loads(text)
        if document["version"] != LEDGER_VERSION:
            raise InvalidReport(
                f"a report of version {document['version']!r}, which is unknown here"
            )
        book = Ledger()
        for stage in document["stages"]:
            sizes = int(stage["apparent"]), int(stage["allocated"])
            if min(sizes) < 0:
                raise ValueError("a size below 0")
            method = str(stage["method"] or "")
            book.entries.append(Entry(str(stage["stage"]), *sizes, float(stage["seconds"]), method))
        peak = document["peak"]
        book.peak = None if peak is None else int(peak)
        for kind in book.limits:
            limit = document["limit"][kind]
            book.limits[kind] = None if limit is None else int(limit)
        book.verified = [str(proof) for proof in document["verified"]]
        book.notes = [str(note) for note in document["notes"]]
        name = str(document["image"] or document["tarball"] or "an image that was not kept")
    except (ValueError, TypeError, LookupError, RecursionError, OverflowError) as error:
        raise InvalidReport("is not the report of a build") from error
    return book, os.path.basename(name)
