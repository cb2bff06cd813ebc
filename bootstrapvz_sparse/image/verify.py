"""Prove that no byte in use has changed, and that the checkers' verdicts are the same."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from ..util.errors import VerificationFailed
from .access import Image
from .checkers import NO_VERDICT, Verdict, check
from .extents import complement, data, difference, intersection, total, union
from .filesystems import FreeSpace
from .partitions import Partition
from .survey import Survey, map_of
from .view import FileMap
from .zeros import zero_blocks


class Digest:
    """The SHA-256 of everything that was read, in order."""

    def __init__(self) -> None:
        import hashlib  # loads OpenSSL, which only verification needs

        self._hash = hashlib.sha256()
        self.update = self._hash.update

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digest) and self._hash.digest() == other._hash.digest()

    __hash__ = None  # type: ignore[assignment]


def leave_out(survey: Survey, partitions: Sequence[Partition]) -> Survey:
    """Return the survey with all of ``partitions`` free, so that they are not compared."""
    return survey._replace(
        regions=tuple(
            region._replace(free_space=FreeSpace(free=[(p.start, p.end)]))
            if (p := region.partition) in partitions
            else region
            for region in survey.regions
        )
    )


class Opinion(NamedTuple):
    """The verdict of a filesystem's checker; ``unavailable``: why it could not be run."""

    verdict: Verdict = Verdict(None)
    unavailable: str = ""


class Proof:
    """The original state of the image: the bytes in use, and the checkers' verdicts.

    ``discarded``: partitions that the kernel will mount to discard their free blocks; their bytes
    are not compared. ``digest``: to be computed by a scan of the same survey; None if it is
    computed here.

    :raises OSError: the image cannot be read
    """

    def __init__(self, image: Image, survey: Survey, discarded: Sequence[Partition]) -> None:
        self._image, self._discarded = image, discarded
        self._survey = leave_out(survey, discarded)
        self._before = Digest()
        self.digest = None if discarded else self._before
        if discarded:
            self._read(image.fd, self._before)
        self._opinions = self._ask(image.fd)

    def verify(self, fd: int, *, mounted: bool) -> list[str]:
        """Compare the file ``fd`` with the original state; return the proofs as text.

        ``mounted``: the method mounts the filesystems, so that the bytes differ.

        :raises VerificationFailed: the content or the verdict of a checker differs
        :raises OSError: the file cannot be read
        """
        proofs = []
        if mounted:
            self._image.notes.append(
                "bytes in use were not compared: the method mounts the filesystems"
            )
        else:
            self._compare(fd)
            proofs += self._compared()
        for partition in self._discarded:
            self._image.notes.append(
                f"{partition}: bytes in use were not compared: the kernel mounts the filesystem "
                "to discard its free blocks"
            )
        return proofs + self._compare_opinions(self._ask(fd))

    def _compared(self) -> list[str]:
        """Return a text on the bytes that were compared; none if all of them were mounted."""
        if not self._discarded:
            return ["no byte in use has changed"]
        if self._discarded[0].number == 0:
            return []
        outside = ", ".join(map(str, self._discarded))
        return [f"no byte in use outside of {outside} has changed"]

    def _read(self, fd: int, digest: Digest) -> None:
        survey = self._survey
        for _ in zero_blocks(
            fd, survey.to_read, survey.block, survey.treat_as_zero, on_data=digest.update
        ):
            pass

    def _compare(self, fd: int) -> None:
        survey = self._survey
        size = os.fstat(fd).st_size
        if size != survey.size:
            raise VerificationFailed(f"the size was {survey.size} bytes and is now {size}")
        after = Digest()
        self._read(fd, after)
        if after != self._before:
            raise VerificationFailed("a byte in use has changed")
        were_holes = difference(complement(survey.data, size), survey.free)
        filled = intersection(were_holes, data(fd, size))
        if total(union(zero_blocks(fd, filled, survey.block))) != total(filled):
            raise VerificationFailed("a byte in use has changed: it was in a hole")

    def _ask(self, fd: int) -> dict[Partition, Opinion]:
        """Run the checker of each filesystem, read-only."""
        asked = {}
        for partition in (region.partition for region in self._survey.regions):
            kind = partition.filesystem
            if kind in ("", "swap") or partition.skip_reason:
                continue
            where = map_of(FileMap(fd, self._survey.size), partition)
            try:
                asked[partition] = Opinion(check(where, kind, fd))
            except NO_VERDICT as reason:
                asked[partition] = Opinion(unavailable=str(reason))
        return asked

    def _compare_opinions(self, after: dict[Partition, Opinion]) -> list[str]:
        proofs, notes = [], self._image.notes
        for partition, old in self._opinions.items():
            new = after[partition]
            if reason := old.unavailable or new.unavailable:
                notes.append(f"{partition}: not checked: {reason}")
            elif new != old:
                raise VerificationFailed(
                    f"{partition}: {new.verdict.complaint or 'the errors found before are gone'}"
                )
            elif new.verdict.complaint:
                notes.append(f"{partition}: damaged before and after: {new.verdict.complaint}")
            else:
                proofs.append(f"{partition}: {partition.filesystem} checks clean")
        return proofs
