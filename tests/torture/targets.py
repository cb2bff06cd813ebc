"""The parsers to fuzz, each with the exceptions that it may raise."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from subprocess import CompletedProcess
from unittest.mock import patch

from bootstrapvz_sparse.image import checkers, formats, guards, oldgnu, partitions, unclean
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
from bootstrapvz_sparse.image.gpt import UntrustedTable, read_gpt
from bootstrapvz_sparse.image.view import FileMap, window
from bootstrapvz_sparse.util import loop
from bootstrapvz_sparse.util.errors import SparseError
from bootstrapvz_sparse.util.view_server import fuse
from bootstrapvz_sparse.util.view_server.pieces import Pieces

from .container import NO_CHECKSUMS, unpacked

CHECKSUMS = (
    *((module, "crc32c") for module in (free, journal, layout, superblock, xfs_layout, log)),
    (layout, "crc16"),
)
# kinds of filesystems that guards read, as blkid names them
GUARDED = (
    *("", "ext4", "xfs", "btrfs", "vfat", "exfat", "f2fs", "swap", "jfs", "reiserfs", "nilfs2"),
    *("hfsplus", "ntfs", "linux_raid_member", "drbd", "DM_verity_hash"),
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


def _gpt(data: bytes) -> None:
    with unpacked(data) as (_, fd, size):
        try:
            table = read_gpt(FileMap(fd, size))
        except UntrustedTable:
            return
    for entry in table.partitions:
        assert 0 < entry.start < entry.end <= size, entry
    assert all(0 <= start <= end <= size for start, end in table.reserved), table.reserved


def _guards(data: bytes) -> None:
    """Judge one suspect, or two halves: of a kind that the flags choose, or of the kind unknown."""
    with unpacked(data) as (flags, fd, size):
        image = FileMap(fd, size)
        kind = GUARDED[flags % len(GUARDED)]
        half = size // 2 // 4096 * 4096
        places = [(0, half), (half, size)] if half and flags & 0x80 else [(0, size)]
        suspects = [
            guards.Suspect(number, window(image, start, end), kind=kind)
            for number, (start, end) in enumerate(places)
        ]
        verdict = guards.judge(image, fd, suspects)
    assert all(number in range(len(places)) and verdict.partitions[number]
               for number in verdict.partitions), verdict  # fmt: skip


def _formats(data: bytes) -> None:
    with unpacked(data) as (_, fd, size):
        try:
            formats.reject_foreign_format(FileMap(fd, size), "disk 'of' $somebody")
        except SparseError as error:
            assert str(error).count("\n") == 0


def _unclean(data: bytes) -> None:
    """Only errors of reading are allowed: they make a checker's verdict, too."""
    with unpacked(data) as (_, fd, size):
        for read in (unclean.ext, unclean.btrfs, unclean.vfat, unclean.exfat):
            try:
                reason = read(window(FileMap(fd, size), 0, size))
            except OSError:
                continue
            assert reason is None or (reason and "\n" not in reason)


def _checker(data: bytes) -> None:
    """A checker's output, which has labels and names of files in it."""
    names = list(checkers.CHECKERS)
    number, status, text = data[:1], data[1:2], data[2:].decode(errors="replace")
    checker = checkers.CHECKERS[names[(number or b"\0")[0] % len(names)]]
    middle = len(text) // 2
    completed = CompletedProcess([], (status or b"\0")[0] - 128, text[:middle], text[middle:])
    verdict = checkers.judge(checker, completed)
    assert verdict.complaint is None or len(verdict.complaint.splitlines()) == 1


def _loop(data: bytes) -> None:
    """Status and path of a loop device, as ``LOOP_GET_STATUS64`` and sysfs report them."""
    raw = data[: loop.INFO.size].ljust(loop.INFO.size, b"\0")
    unpacked_info = loop.INFO.unpack(raw)
    status = loop.Status(unpacked_info[0], unpacked_info[1], unpacked_info[-1].rstrip(b"\0"))
    path = data[loop.INFO.size :].replace(b"\0", b"")  # the kernel's strings have none

    def in_use() -> Iterator[tuple[str, loop.Status | None, bytes]]:
        yield "/dev/loop0", status, path
        yield "/dev/loop1", None, path

    with patch.object(loop, "_in_use", in_use), open(os.devnull, "rb") as file:
        assert all(os.fsencode(name) in (path, path[: -len(loop.DELETED)])
                   for _, name in loop.attached())  # fmt: skip
        assert set(loop.devices(file.fileno())) <= {"/dev/loop0", "/dev/loop1"}


def _fuse(data: bytes) -> None:
    """A request of the kernel, whose length fits its opcode."""
    opcode = int.from_bytes(data[:2], "little") % 60
    body = data[2:].ljust(64, b"\0")
    fd = os.memfd_create("image")
    try:
        os.pwrite(fd, b"x" * 9000, 0)
        pieces = Pieces(fd, [(4096, 4096), (0, 100), (8192, 4096)])  # the last one is cut off
        answer = fuse._answer(opcode, body, pieces)
    except OSError as error:
        assert error.errno
        return
    finally:
        os.close(fd)
    if opcode == fuse.READ:
        assert len(answer) <= fuse.READ_IN.unpack_from(body)[1]


TARGETS: dict[str, Callable[[bytes], None]] = {
    "ext": lambda data: _read(ext.find_free_space, data),
    "xfs": lambda data: _read(xfs.find_free_space, data),
    "swap": lambda data: _read(swap.find_free_space, data),
    "table": _table,
    "tarball": _tarball,
    "gpt": _gpt,
    "guards": _guards,
    "formats": _formats,
    "unclean": _unclean,
    "checker": _checker,
    "loop": _loop,
    "fuse": _fuse,
}
