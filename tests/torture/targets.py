"""The parsers to fuzz, each with the exceptions that it may raise."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from bootstrapvz_sparse.image import oldgnu, partitions
from bootstrapvz_sparse.image.blkid import Signature
from bootstrapvz_sparse.image.filesystems import (
    UntrustedMetadata,
    ext,
    swap,
    xfs,
)
from bootstrapvz_sparse.image.filesystems.ext import free, journal, layout, superblock
from bootstrapvz_sparse.image.filesystems.kind import Reader
from bootstrapvz_sparse.image.filesystems.xfs import layout as xfs_layout
from bootstrapvz_sparse.image.filesystems.xfs import log
from bootstrapvz_sparse.image.view import FileMap
from bootstrapvz_sparse.util.errors import SparseError

from .container import NO_CHECKSUMS, unpacked

CHECKSUMS = (
    *((module, "crc32c") for module in (free, journal, layout, superblock, xfs_layout, log)),
    (layout, "crc16"),
)


class Anything(int):
    """A number that equals every other one, as a checksum that is always right does."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    def __and__(self, other: int) -> Anything:
        return self

    def __invert__(self) -> Anything:
        return self

    __hash__ = int.__hash__


def _checksum(data: bytes, crc: int = 0) -> Anything:
    return Anything()


@contextmanager
def _checksums_pass() -> Iterator[None]:
    with ExitStack() as stack:
        for module, name in CHECKSUMS:
            stack.enter_context(patch.object(module, name, _checksum))
        yield


def _read(reader: Reader, data: bytes) -> None:
    with unpacked(data) as (flags, fd, size), ExitStack() as stack:
        if flags & NO_CHECKSUMS:
            stack.enter_context(_checksums_pass())
        try:
            found = reader(FileMap(fd, size))
        except UntrustedMetadata:
            return
        for ranges in (found.free, found.journal, found.swap):
            assert all(0 <= start < end <= size for start, end in ranges), ranges
            assert all(a[1] <= b[0] for a, b in zip(ranges, ranges[1:])), ranges


def _table(data: bytes) -> None:
    """sfdisk itself reads the table; what lies in the partitions is of no matter here."""

    def signature(fd: int, start: int, end: int) -> Signature:
        return Signature() if start else Signature(table="dos")

    with unpacked(data) as (_, fd, size), patch.object(partitions, "signature", signature):
        found = partitions.read(fd, size)
    sound = sorted((p.start, p.end) for p in found.partitions if not p.skip_reason)
    assert all(0 < start < end <= size for start, end in sound), sound
    assert all(a[1] <= b[0] for a, b in zip(sound, sound[1:])), sound


def _tarball(data: bytes) -> None:
    for archive in (data, _with_checksum(data)):
        _unpack(archive)


def _with_checksum(archive: bytes) -> bytes:
    """The archive, with the checksum of its first header right."""
    header = bytearray(archive[: oldgnu.BLOCK].ljust(oldgnu.BLOCK, b"\0"))
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + archive[oldgnu.BLOCK :]


def _unpack(archive: bytes) -> None:
    stream = io.BytesIO(archive)
    try:
        disk, segments = oldgnu.read_header(stream)
        stored = sum(len(chunk) for _, chunk in oldgnu.contents(stream, segments))
        oldgnu.read_end(stream)
    except SparseError:
        return
    assert 0 <= stored <= disk


TARGETS: dict[str, Callable[[bytes], None]] = {
    "ext": lambda data: _read(ext.find_free_space, data),
    "xfs": lambda data: _read(xfs.find_free_space, data),
    "swap": lambda data: _read(swap.find_free_space, data),
    "table": _table,
    "tarball": _tarball,
}
