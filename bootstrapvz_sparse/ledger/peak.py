"""The most that a file occupies while it is written."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from ..image.extents import allocated

INTERVAL = 0.2  # seconds between two looks


class Peak:
    """Looks at the file ``image`` now and then, in a thread, until it is stopped or gone.

    ``bytes``: the most that was allocated at any look.
    """

    def __init__(self, image: Path) -> None:
        self._image = image
        self._stop = threading.Event()
        self.bytes = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._look()
        self._thread.start()

    def _look(self) -> None:
        self.bytes = max(self.bytes, allocated(os.stat(self._image)))

    def _watch(self) -> None:
        try:
            while not self._stop.wait(INTERVAL):
                self._look()
        except FileNotFoundError:  # a build that failed was undone
            return

    def stop(self) -> None:
        """Look for the last time."""
        self._stop.set()
        self._thread.join()
        self._look()
