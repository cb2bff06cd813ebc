"""Make an image that is in use by nobody as sparse as it can be, in place."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import loop
from .extents import Ranges, allocated, complement, data, total, union
from .filesystems import NotTrusted, unneeded
from .holes import punch
from .zeros import zero_blocks


class Refused(Exception):
    """The image is left as it is; the text says why, in a line."""


@dataclass(frozen=True)
class Report:
    """What was done to an image; all sizes in bytes.

    ``free`` and ``journal``: what the filesystems do not need, allocated or not. ``zero``: what
    was found zero among the rest. ``notes``: what was left alone, and why.
    """

    apparent: int
    before: int
    after: int
    free: int
    journal: int
    zero: int
    seconds: float
    notes: tuple[str, ...]


def sparsify(path: Path, filesystems: Ranges, *, reclaim: bool = True) -> Report:
    """Free every block of the image at ``path`` that needs no disk space, in place.

    First what each of the ``filesystems`` (its byte range in the image) does not need, unless
    ``reclaim`` is false; then each block that holds only zeros; and what is allocated without
    ever having been written. Can be interrupted at any point: each step leaves a valid image.

    :raises Refused: somebody else uses the image
    :raises NotSupported: the filesystem that the image lies on cannot punch holes
    :raises OSError: the image cannot be read or written
    """
    started = time.perf_counter()
    with _exclusively(path) as fd:
        os.fsync(fd)
        status = os.fstat(fd)
        size = status.st_size
        free, journal, notes = _unneeded(fd, filesystems if reclaim else [])
        for start, end in union(free, journal):
            punch(fd, start, end)  # the kernel zeroes what is free of the blocks at the ends
        written = list(data(fd, size))
        zero = union(zero_blocks(fd, written, os.fstatvfs(fd).f_frsize))
        for start, end in union(zero, complement(written, size)):
            punch(fd, start, end)
        os.fsync(fd)
        return Report(
            apparent=size,
            before=allocated(status),
            after=allocated(os.fstat(fd)),
            free=total(free),
            journal=total(journal),
            zero=total(zero),
            seconds=time.perf_counter() - started,
            notes=tuple(notes),
        )


def _unneeded(fd: int, filesystems: Ranges) -> tuple[Ranges, Ranges, list[str]]:
    free: Ranges = []
    journal: Ranges = []
    notes = []
    for start, end in filesystems:
        try:
            found = unneeded(fd, start, end)
        except NotTrusted as reason:
            notes.append(f"free blocks of the filesystem at byte {start} left alone: {reason}")
        else:
            free += found.free
            journal += found.journal
    return free, journal, notes


@contextmanager
def _exclusively(path: Path) -> Iterator[int]:
    """Open the image for writing, and refuse it where somebody else has it open for that."""
    with path.open("r+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno != errno.EWOULDBLOCK:
                raise
            raise Refused(f"{path} is locked by another program") from error
        if devices := loop.devices(path):
            raise Refused(f"{path} is attached to {', '.join(devices)}")
        yield file.fileno()
