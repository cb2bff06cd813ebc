"""The plan for an image: all ranges that can become holes, and the kind of each byte."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from .extents import Ranges, complement, difference, intersection, total, union
from .filesystems import FreeSpace
from .survey import Region, Survey

# The kinds of bytes of an image. All but a hole are allocated.
KINDS = ("in use", "zero", "free", "journal", "swap", "unwritten", "hole")


class Share(NamedTuple):
    """A part of an image: a region, or with ``region`` None everything outside of the regions.

    ``kinds``: for each of :data:`KINDS` its ranges; together they cover the part. ``lost``: the
    ranges of free, journal and swap that are not whole blocks of the build filesystem, because the
    part starts off the block grid or has smaller blocks: they cannot become holes.
    """

    region: Region | None
    kinds: dict[str, Ranges]
    lost: Ranges

    def amounts(self) -> dict[str, int]:
        """Return the bytes of each kind, and the bytes lost."""
        return {
            **{kind: total(ranges) for kind, ranges in self.kinds.items()},
            "lost": total(self.lost),
        }


class Plan:
    """A survey, and the zero blocks among the bytes in use: together, all that can become holes.

    ``path``: of the image; ``status``: of the image file when it was surveyed; ``scanned``: whether
    zero blocks were looked for; ``notes``: everything that is left alone, with the reason.
    """

    def __init__(
        self,
        survey: Survey,
        zero: Ranges,
        *,
        path: Path = Path(),
        status: os.stat_result | None = None,
        scanned: bool = True,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.survey, self.zero = survey, zero
        self.path, self.status, self.scanned, self.notes = path, status, scanned, notes

    @property
    def apparent(self) -> int:
        """The size of the image in bytes."""
        return self.survey.size

    @cached_property
    def holes(self) -> Ranges:
        """The whole blocks that can become holes."""
        return union(self.survey.freeable, self.zero)

    @cached_property
    def gain(self) -> int:
        """Bytes that are allocated unnecessarily, including blocks shared with other files."""
        survey, unwritten = self.survey, self.survey.allocation.unwritten
        written = total(intersection(survey.data, self.holes))
        if unwritten is None:
            return written + max(survey.allocated - total(survey.data), 0)
        return written + total(intersection(unwritten, self.holes)) + survey.allocation.beyond

    @cached_property
    def shared(self) -> int:
        """Bytes of the gain that stay on disk because other files share the blocks."""
        return total(intersection(self.survey.allocation.shared, self.holes))

    def shares(self, *, after: bool = False) -> list[Share]:
        """Return the shares of the partitions, and of the space outside them if there is any.

        ``after``: the state once all of ``holes`` are punched.
        """
        survey = self.survey
        sound = [region for region in survey.regions if region.partition.end <= survey.size]
        shares = [self._share([(r.partition.start, r.partition.end)], r) for r in sound]
        outside = complement(
            union((r.partition.start, r.partition.end) for r in sound), survey.size
        )
        shares += [self._share(outside, None)] if outside else []
        return [self._punched(share) for share in shares] if after else shares

    def _punched(self, share: Share) -> Share:
        kept = {kind: difference(share.kinds[kind], self.holes) for kind in KINDS[:-1]}
        punched = (intersection(ranges, self.holes) for ranges in share.kinds.values())
        hole = union(share.kinds["hole"], *punched)
        return share._replace(kinds={**kept, "hole": hole})

    def _share(self, here: Ranges, region: Region | None) -> Share:
        survey = self.survey
        space = region.free_space if region else FreeSpace()
        never_written = intersection(survey.allocation.unwritten or [], here)
        written = intersection(survey.data, here)
        journal, swap, free = (
            intersection(written, ranges) for ranges in (space.journal, space.swap, space.free)
        )
        gone = union(journal, swap, free)
        zero = intersection(difference(self.zero, gone), here)
        kinds = (
            difference(difference(written, gone), zero),
            zero,
            free,
            journal,
            swap,
            never_written,
            difference(here, union(written, never_written)),
        )
        return Share(region, dict(zip(KINDS, kinds)), lost=difference(gone, self.holes))
