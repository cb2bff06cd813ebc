"""A place for images of 16 TiB, where the folder's own filesystem has no files as large."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .copies import GIB, TIB
from .images import LARGE
from .processes import Failed, run

ROOM = 16 * GIB  # of a filesystem that takes only what is written to it


@contextlib.contextmanager
def large(folder: Path) -> Iterator[None]:
    """The folder ``LARGE`` in ``folder`` while the body runs: a plain one, or an xfs in a file.

    :raises Failed: it cannot be made, as where nobody may mount
    """
    point, backing = folder / LARGE, folder / f"{LARGE}.xfs"
    point.mkdir(exist_ok=True)
    if _holds_large_files(point):
        yield
        return
    if os.geteuid() != 0:
        raise Failed("mount needs root: sudo make bench")
    if not backing.exists():
        part = backing.with_suffix(".part")
        with part.open("wb") as file:
            file.truncate(ROOM)
        run("mkfs.xfs", "-q", "-f", part)
        part.rename(backing)
    run("mount", "-o", "loop", backing, point)
    try:
        yield
    finally:
        run("fstrim", point)  # the copies that were removed
        run("umount", point)


def _holds_large_files(folder: Path) -> bool:
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            file.truncate(16 * TIB)
        except OSError as error:
            if error.errno == errno.EFBIG:
                return False
            raise
    return True
