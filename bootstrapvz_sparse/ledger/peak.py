"""The peak disk space of a file while it is written."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from ..image.extents import allocated

INTERVAL = 0.2  # seconds between two measurements


class Peak:
    """A thread that measures ``image`` at intervals until it is stopped or the file is gone.

    ``bytes`` is the largest allocated size measured.
    """

    def __init__(self, image: Path) -> None:
        self._image = image
        self._stop = threading.Event()
        self.bytes = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._measure()
        self._thread.start()

    def _measure(self) -> None:
        self.bytes = max(self.bytes, allocated(os.stat(self._image)))

    def _watch(self) -> None:
        try:
            while not self._stop.wait(INTERVAL):
                self._measure()
        except FileNotFoundError:  # the build failed and was rolled back
            return

    def stop(self) -> None:
        """Measure once more, and end the thread."""
        self._stop.set()
        self._thread.join()
        self._measure()
