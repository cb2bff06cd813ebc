"""Proof that nothing in use changed: digests, and the filesystems' own checkers, read-only."""

from __future__ import annotations

import os

from ..util.errors import VerificationFailed
from . import checkers
from .extents import (
    complement,
    data,
    difference,
    intersection,
    total,
    union,
)
from .partitions import Partition
from .survey import Survey
from .view import FileMap, window
from .zeros import zero_blocks


class Digest:
    """SHA-256 of all that was read, in order."""

    def __init__(self) -> None:
        import hashlib  # loads OpenSSL, which few runs need

        self._hash = hashlib.sha256()
        self.update = self._hash.update

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Digest) and self._hash.digest() == other._hash.digest()

    __hash__ = None  # type: ignore[assignment]


def compare(fd: int, survey: Survey, before: Digest) -> None:
    """Read once more what was in use, now from the file ``fd``.

    :raises VerificationFailed: something differs from ``before``, or is not zero any more
    :raises OSError: the file cannot be read
    """
    size = os.fstat(fd).st_size
    if size != survey.size:
        raise VerificationFailed(f"its size was {survey.size} bytes and is {size}")
    after = Digest()
    for _ in zero_blocks(fd, survey.to_read, survey.block, survey.blank, seen=after.update):
        pass
    if after != before:
        raise VerificationFailed("a byte in use changed")
    were_holes = difference(complement(survey.data, size), survey.unneeded)
    filled = intersection(were_holes, data(fd, size))
    if total(union(zero_blocks(fd, filled, survey.block))) != total(filled):
        raise VerificationFailed("a hole is no hole any more")


def check(fd: int, partition: Partition) -> str | None:
    """Return the complaint of the checker of the partition's filesystem in the file ``fd``.

    None where the filesystem is clean; see :func:`.checkers.check`.

    :raises ProgramMissing: the checker is not installed
    :raises CheckUnavailable: none is known, or it cannot run here
    :raises OSError: the file cannot be read
    """
    end = max(partition.end, os.fstat(fd).st_size)
    where = window(FileMap(fd, end), partition.start, partition.end)
    return checkers.check(where, partition.filesystem, fd).complaint
