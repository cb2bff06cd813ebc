"""Read the bytes in use once: find zero blocks, make the digest, report the progress."""

from __future__ import annotations

from collections.abc import Callable

from .extents import Ranges, total, union
from .survey import Survey
from .verify import Digest
from .zeros import zero_blocks

# Called with the bytes read so far, and the bytes to read in total.
Progress = Callable[[int, int], object]


class Scan:
    """A reader of the bytes in use that keeps its results.

    ``zero``: the blocks that are zero; ``done``: whether they were looked for.
    """

    def __init__(
        self, survey: Survey, progress: Progress | None = None, digest: Digest | None = None
    ) -> None:
        self.survey, self.progress, self.digest = survey, progress, digest
        self.zero: Ranges = []
        self.done = False

    def __call__(self, fd: int) -> Ranges:
        """Read the file ``fd``, which has the surveyed content; return its zero blocks.

        :raises OSError: it cannot be read
        """
        survey, expected, read = self.survey, total(self.survey.to_read), 0

        def on_data(view: memoryview) -> None:
            nonlocal read
            if self.digest:
                self.digest.update(view)
            read += len(view)
            if self.progress:
                self.progress(read, expected)

        self.zero = union(
            zero_blocks(fd, survey.to_read, survey.block, survey.treat_as_zero, on_data=on_data)
        )
        self.done = True
        return self.zero
