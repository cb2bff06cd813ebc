"""Files that are not complete yet, beside the place where they will be."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX, SUFFIX = ".", ".bvz-sparse"  # of the name: .disk.raw.XXXXXXXX.bvz-sparse
OF_THE_NAME = 200  # bytes of it, of the 255 that a name can have


@contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """A new file beside ``path``, for the body to fill and rename; removed where the body fails.

    :raises OSError: it cannot be created
    """
    start = os.fsdecode(os.fsencode(path.name)[:OF_THE_NAME])
    fd, name = tempfile.mkstemp(SUFFIX, f"{PREFIX}{start}.", path.parent)
    try:
        os.close(fd)
        yield Path(name)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
