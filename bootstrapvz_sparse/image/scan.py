"""The one reading of what is in use: finds zeros, makes the digest, tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

from .extents import Ranges, total, union
from .survey import Survey
from .verify import Digest
from .zeros import zero_blocks

# Called with the bytes that were read so far, and that will have been.
Progress = Callable[[int, int], object]


class Scan:
    """Reads what is in use of a file, and keeps what it found.

    ``zero``: the blocks that are zero. ``done``: whether anybody has looked.
    """

    def __init__(
        self, survey: Survey, progress: Progress | None = None, digest: Digest | None = None
    ) -> None:
        self.survey, self.progress, self.digest = survey, progress, digest
        self.zero: Ranges = []
        self.done = False

    def __call__(self, fd: int) -> Ranges:
        """Read the file ``fd``, whose content is that of the survey, and return its zero blocks.

        :raises OSError: it cannot be read
        """
        survey, expected, read = self.survey, total(self.survey.to_read), 0

        def seen(view: memoryview) -> None:
            nonlocal read
            if self.digest:
                self.digest.update(view)
            read += len(view)
            if self.progress:
                self.progress(read, expected)

        self.zero = union(zero_blocks(fd, survey.to_read, survey.block, survey.blank, seen=seen))
        self.done = True
        return self.zero
