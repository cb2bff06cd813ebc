"""A folder in memory for images, which the engine syncs."""

from __future__ import annotations

import os
from pathlib import Path

MEMORY, ROOM = Path("/dev/shm"), 2 << 30


def memory(folder: Path) -> Path:
    """Return a folder in memory, or ``folder`` where there is no room in it."""
    try:
        status = os.statvfs(MEMORY)
    except OSError:
        return folder
    enough = status.f_bavail * status.f_frsize >= ROOM
    return MEMORY if enough and os.access(MEMORY, os.W_OK) else folder
