"""Tarballs that Google Compute Engine imports, written and checked.

One member ``disk.raw`` in old GNU format, whose holes are left out, in gzip. Sources: Google's
"Manually import boot disks" (https://cloud.google.com/compute/docs/import/import-existing-image),
"Tar Format" of the GNU tar manual, appendix "Storing Sparse Files".
"""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from ..util import programs
from ..util.errors import ProgramFailed, ProgramMissing, Refused, VerificationFailed
from ..util.temporary import temporary
from ..util.text import human
from .access import opened
from .extents import (
    Range,
    Ranges,
    data,
    difference,
    total,
    union,
)
from .zeros import zero_blocks

NAME = "disk.raw"
UNIT = 1 << 30  # of the size of a disk
BLOCK = 512
CHUNK_SIZE = 1 << 20
COMPRESSORS = ("auto", "pigz", "gzip")
LEVEL = 5  # of a Debian tree 0.6 % more than at 6, which takes half as long again

OLD_GNU = b"ustar  \0"  # magic and version
SPARSE, REGULAR = b"S", (b"0", b"\0")
TYPES = {
    b"x": "a PAX header",
    b"g": "a PAX header",
    b"L": "a long name",
    b"K": "a long link name",
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"5": "a directory",
    b"6": "a fifo",
}
# Of the header: where the map of a sparse file begins and ends, and the flag and size after it.
MAP, MORE, REAL_SIZE = slice(386, 482), 482, slice(483, 495)
# Of each block that goes on with the map.
FURTHER_MAP, FURTHER_MORE = slice(0, 504), 504
ENTRY = 12  # bytes of a number in the map: an offset, a length, and so on


class Tarball(NamedTuple):
    """A tarball: its own size, that of the disk in it, and what it holds of it, in bytes."""

    size: int
    disk: int
    stored: int


def write(image: Path, tarball: Path, *, compressor: str = "auto", level: int = LEVEL) -> Tarball:
    """Pack the raw image at ``image`` into ``tarball``, and check it before it gets its name.

    The same image gives the same tarball. ``compressor`` is one of :data:`COMPRESSORS`, ``auto``
    is pigz where it is installed; ``level`` is 1 to 9.

    :raises Refused: the image is no whole number of GiB, or a program fails
    :raises VerificationFailed: the tarball does not hold what the image does
    :raises ProgramMissing: tar or the compressor is not installed
    :raises OSError: the image cannot be read or the tarball not written
    """
    if os.path.isdir(tarball):
        raise Refused(f"{tarball} is a directory")
    with opened(image, write=False) as opened_image:
        if opened_image.size % UNIT:
            raise Refused(
                f"{image} has {human(opened_image.size)}, and {wanted(opened_image.size)}"
            )
        os.fsync(opened_image.fd)
        source = opened_image.path
    # nothing of when and by whom it was made; the name is replaced whatever it is
    packed_as = ("--owner=root:0", "--group=root:0", "--mode=0644", "--mtime=@0")
    tar = ["tar", "--create", "--format=oldgnu", "--sparse", "--hole-detection=seek", *packed_as]
    tar += [f"--transform=s,.*,{NAME},", f"--directory={source.parent}", "--", f"./{source.name}"]
    with temporary(tarball) as file:
        try:
            programs.pipe(tar, _compressor(compressor, level), file.fd)
        except ProgramFailed as failure:
            raise Refused(f"{tarball} was not written: {failure}") from failure
        os.fsync(file.fd)
        os.fchmod(file.fd, 0o644)
        found = check(file.path, source)
        file.place(tarball)
    return found


def wanted(size: int) -> str:
    """What is asked of a disk of ``size`` bytes that is no whole number of GiB."""
    missing = -size % UNIT if size else UNIT
    return f"Compute Engine wants a whole number of GiB: {missing} bytes ({human(missing)}) more"


def _compressor(name: str, level: int) -> list[str]:
    if name == "auto":
        try:
            programs.find("pigz")
            name = "pigz"
        except ProgramMissing:
            name = "gzip"
    command = [name, "--no-name", "--stdout", f"-{level}"]
    if name == "pigz":
        # what one process writes differs from what several do, whose number makes no difference
        command += ["--processes", str(max(os.cpu_count() or 1, 2))]
    return command


def check(tarball: Path, image: Path | None = None) -> Tarball:
    """Read ``tarball`` back as Compute Engine would; compare it with ``image`` where one is given.

    :raises Refused: it is not what Compute Engine takes; the text says what is wrong
    :raises VerificationFailed: the image holds something else
    :raises OSError: it cannot be read
    """
    size = tarball.stat().st_size
    with _unpacked(tarball) as stream:
        disk, segments = _header(stream)
        if disk % UNIT or not disk:
            raise Refused(f"its disk has {human(disk)}, and {wanted(disk)}")
        if image is None:
            for _ in _contents(stream, segments):
                pass
        else:
            _compare(stream, disk, segments, image)
        _end(stream)
    return Tarball(size, disk, total(segments))


@contextmanager
def _unpacked(tarball: Path) -> Iterator[IO[bytes]]:
    """The tar archive in ``tarball``; that gzip was content with it is known at the end.

    :raises Refused: it is no gzip, is cut short, or its checksum is wrong
    """
    with tarball.open("rb", buffering=0) as file:
        if file.read(2) != b"\x1f\x8b":
            raise Refused(f"{tarball} is not compressed by gzip")
        file.seek(0)
        command = [programs.find("gzip"), "--decompress", "--stdout"]
        programs.tell([*command, str(tarball)])
        with subprocess.Popen(
            command,
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C"},
        ) as process:
            assert process.stdout and process.stderr
            reason: Exception | None = None
            try:
                yield process.stdout
            except Refused as refused:
                reason = Refused(f"{tarball}: {refused}")
            except BaseException:
                process.kill()
                raise
            if reason:
                # what lacks something is cut short, most often: gzip knows
                while process.stdout.read(CHUNK_SIZE):
                    pass
            said = process.stderr.read().decode(errors="replace")
            if process.wait() != 0:
                reason = Refused(f"{tarball}: {programs.last_line(said)}")
            if reason:
                raise reason


def _read(stream: IO[bytes], length: int) -> bytes:
    found = stream.read(length)
    if len(found) < length:
        raise Refused("the archive ends too early")
    return found


def _header(stream: IO[bytes]) -> tuple[int, Ranges]:
    """The size of the disk, and which bytes of it follow.

    :raises Refused: the first member is none that Compute Engine takes
    """
    block = _read(stream, BLOCK)
    if not block.strip(b"\0"):
        raise Refused("the archive is empty")
    try:
        member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        raise Refused(f"no tar archive: {error}") from error
    if member.type in TYPES:
        raise Refused(f"its member is {TYPES[member.type]}, not a file")
    if member.type not in (SPARSE, *REGULAR):
        raise Refused(f"its member is of the unknown type {member.type!r}")
    if member.name != NAME:
        raise Refused(f"its member is called {member.name!r}, not {NAME}")
    if block[257:265] != OLD_GNU:
        raise Refused("it is not in (old) GNU format")
    if member.size < 0:
        raise Refused("no tar archive: a negative size")
    if member.type != SPARSE:
        return member.size, [(0, member.size)] if member.size else []
    size = tarfile.nti(block[REAL_SIZE])  # type: ignore[attr-defined]
    segments = list(_entries(block[MAP]))
    more = block[MORE]
    while more:
        block = _read(stream, BLOCK)
        segments += _entries(block[FURTHER_MAP])
        more = block[FURTHER_MORE]
    segments = [(start, end) for start, end in segments if start < end]
    ends = [0, *(end for _, end in segments)]
    in_order = all(end <= start for end, (start, _) in zip(ends, segments))
    if not in_order or ends[-1] > size or total(segments) != member.size:
        raise Refused("the map of its holes contradicts itself")
    return size, segments


def _entries(raw: bytes) -> Iterator[Range]:
    for position in range(0, len(raw) - 2 * ENTRY + 1, 2 * ENTRY):
        entry = raw[position : position + 2 * ENTRY]
        if not entry.strip(b"\0"):
            return
        try:
            start = tarfile.nti(entry[:ENTRY])  # type: ignore[attr-defined]
            length = tarfile.nti(entry[ENTRY:])  # type: ignore[attr-defined]
        except tarfile.TarError as error:
            raise Refused("the map of its holes cannot be read") from error
        yield start, start + length


def _contents(stream: IO[bytes], segments: Ranges) -> Iterator[tuple[int, bytes]]:
    """What is stored of the disk: positions and bytes."""
    for start, end in segments:
        for position in range(start, end, CHUNK_SIZE):
            yield position, _read(stream, min(CHUNK_SIZE, end - position))
    _read(stream, -total(segments) % BLOCK)


def _compare(stream: IO[bytes], disk: int, segments: Ranges, image: Path) -> None:
    """
    :raises VerificationFailed: ``image`` is not the disk in the tarball
    """
    with image.open("rb", buffering=0) as file:
        fd = file.fileno()
        size = os.fstat(fd).st_size
        if size != disk:
            raise VerificationFailed(
                f"{image} has {size} bytes, and the disk in the tarball {disk}"
            )
        for position, chunk in _contents(stream, segments):
            if os.pread(fd, len(chunk), position) != chunk:
                raise VerificationFailed(f"{image} differs from the tarball at byte {position}")
        left_out = difference(list(data(fd, size)), segments)
        block = os.fstatvfs(fd).f_frsize
        if difference(left_out, union(zero_blocks(fd, left_out, block))):
            raise VerificationFailed(f"the tarball lacks something of {image}")


def _end(stream: IO[bytes]) -> None:
    """
    :raises Refused: there is anything but zeros
    """
    marker = _read(stream, 2 * BLOCK)
    while marker:
        if marker.strip(b"\0"):
            raise Refused("it has more than one member")
        marker = stream.read(CHUNK_SIZE)
