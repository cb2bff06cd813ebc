"""The ledger: the sizes of the image after each stage of a build, its peak and its limits."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import NamedTuple

from ..image.extents import allocated
from ..util.errors import InvalidReport

LEDGER_VERSION = 1  # of the layout of its JSON


class Entry(NamedTuple):
    """A stage: the sizes of the image after it in bytes, and its duration in seconds.

    ``method`` names the method if the stage has several, or is "".
    """

    stage: str
    apparent: int
    allocated: int
    seconds: float
    method: str = ""


class Ledger:
    """The stages of one build in order, with its peak, limits, proofs and notes.

    Sizes are in bytes. ``peak`` is the largest allocated size before the image was made sparse,
    None while it is unknown. ``limits`` are the manifest's limits on the allocated size of the
    image and on the size of its tarball, None without a limit. ``verified`` lists the proofs.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.peak: int | None = None
        self.limits: dict[str, int | None] = {"allocated": None, "tarball": None}
        self.verified: list[str] = []
        self.notes: list[str] = []
        self._last = time.monotonic()

    def measure(self, stage: str, image: Path, *, method: str = "") -> Entry:
        """Add the current sizes of ``image``, and the time since the last measurement.

        :raises OSError: ``image`` does not exist
        """
        status = os.stat(image)
        now = time.monotonic()
        entry = Entry(stage, status.st_size, allocated(status), now - self._last, method)
        self.entries.append(entry)
        self._last = now
        return entry


def load(text: bytes) -> tuple[Ledger, str]:
    """Read a ledger from its JSON; return it with the name of the image.

    :raises InvalidReport: ``text`` is not the report of a build, or is of an unknown version
    """
    try:
        document = json.loads(text)
        if document["version"] != LEDGER_VERSION:
            raise InvalidReport(
                f"unknown version {document['version']!r} of a report "
                f"(this bvz-sparse reads version {LEDGER_VERSION})"
            )
        ledger = Ledger()
        for stage in document["stages"]:
            sizes = int(stage["apparent"]), int(stage["allocated"])
            if min(sizes) < 0:
                raise ValueError("negative size")
            method = str(stage["method"] or "")
            entry = Entry(str(stage["stage"]), *sizes, float(stage["seconds"]), method)
            ledger.entries.append(entry)
        peak = document["peak"]
        ledger.peak = None if peak is None else int(peak)
        for kind in ledger.limits:
            limit = document["limit"][kind]
            ledger.limits[kind] = None if limit is None else int(limit)
        ledger.verified = [str(proof) for proof in document["verified"]]
        ledger.notes = [str(note) for note in document["notes"]]
        name = str(document["image"] or document["tarball"] or "an image that was not kept")
    except (ValueError, TypeError, LookupError, RecursionError, OverflowError) as error:
        raise InvalidReport("not the report of a build") from error
    return ledger, os.path.basename(name)
