"""Write and check the tarballs that Google Compute Engine imports.

One member ``disk.raw`` in old GNU format, without its holes, compressed by gzip. Sources: Google's
"Manually import boot disks" (https://cloud.google.com/compute/docs/import/import-existing-image),
"Tar Format" of the GNU tar manual, appendix "Storing Sparse Files".
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from ..util import programs
from ..util.errors import (
    InvalidImage,
    InvalidTarball,
    ProgramFailed,
    ProgramMissing,
    Unsupported,
    VerificationFailed,
)
from ..util.temporary import temporary
from ..util.text import human
from ..util.trees import anchored
from .access import opened
from .extents import data, difference, union
from .formats import reject_foreign_format
from .oldgnu import CHUNK_SIZE, MEMBER, Segments, contents, read_end, read_header
from .zeros import zero_blocks

SUFFIX = ".tar.gz"
UNIT = 1 << 30  # of the size of a disk
COMPRESSORS = ("auto", "pigz", "gzip")
LEVEL = 5  # 0.6 % larger than level 6 for a Debian tree, in two thirds of the time


class Tarball(NamedTuple):
    """A tarball: bytes of the file, of the disk in it, and of the stored parts of the disk."""

    size: int
    disk: int
    stored: int


def write(image: Path, tarball: Path, *, compressor: str = "auto", level: int = LEVEL) -> Tarball:
    """Pack the raw image at ``image`` into ``tarball``, and check it before it gets its name.

    The same image gives the same tarball. ``compressor`` is one of :data:`COMPRESSORS`, ``auto``
    is pigz if it is installed; ``level`` is 1 to 9.

    :raises InvalidImage: the image is not raw, or not a whole number of GiB
    :raises Unsupported: the name of the tarball is a directory, or not one that is imported
    :raises InvalidTarball, VerificationFailed: the tarball does not hold what the image does
    :raises ProgramMissing, ProgramFailed: tar or the compressor
    :raises OSError: the image cannot be read or the tarball not written
    """
    if os.path.isdir(tarball):
        raise Unsupported(f"{tarball}: is a directory")
    _require_suffix(tarball)
    with anchored(tarball.parent) as folder, opened(image, write=False) as source:
        reject_foreign_format(source.map, image)
        if source.size % UNIT:
            raise InvalidImage(f"{image}: {wrong_size(source.size)}")
        os.fsync(source.fd)
        with temporary(tarball, folder) as file:
            _pack(source.fd, file.fd, compressor, level)
            os.fsync(file.fd)
            os.fchmod(file.fd, 0o644)
            packed = _check(file.fd, tarball, source.fd, image)
            file.place(tarball)
    return packed


def wrong_size(size: int) -> str:
    """Return the problem with a disk of ``size`` bytes that is not a whole number of GiB."""
    missing = -size % UNIT if size else UNIT
    return (
        f"the disk has {size} bytes; Compute Engine wants a whole number of GiB "
        f"({missing} bytes more, {human(missing)})"
    )


def _require_suffix(tarball: Path) -> None:
    if not tarball.name.endswith(SUFFIX):
        raise Unsupported(f"{tarball}: Compute Engine imports only names that end in {SUFFIX}")


def _pack(image: int, output: int, compressor: str, level: int) -> None:
    """Run ``tar | gzip`` on the open image, into the open file ``output``."""
    # nothing of when and by whom it was made; the name is replaced, whatever it is
    anonymous = ("--owner=root:0", "--group=root:0", "--mode=0644", "--mtime=@0")
    sparse = ("--format=oldgnu", "--sparse", "--hole-detection=seek", "--dereference")
    names = ("--absolute-names", f"--transform=s,.*,{MEMBER},", "--", programs.same_file(image))
    command = _compressor(compressor, level)
    with tempfile.TemporaryFile() as messages:
        with (
            programs.started(
                "tar", "--create", *sparse, *anonymous, *names, fds=[image], stderr=messages
            ) as tar,
            programs.started(*command, stdin=tar.stdout, stdout=output, stderr=messages) as gzip,
        ):
            assert tar.stdout
            tar.stdout.close()  # so that tar ends when the compressor does
        messages.seek(0)
        text = programs.last_line(messages.read().decode(errors="replace"))
        for name, process in ((command[0], gzip), ("tar", tar)):
            if process.returncode:
                raise ProgramFailed(f"{name} failed ({process.returncode}): {text}")


def _compressor(name: str, level: int) -> list[str]:
    if name == "auto":
        try:
            programs.find("pigz")
            name = "pigz"
        except ProgramMissing:
            name = "gzip"
    command = [name, "--no-name", "--stdout", f"-{level}"]
    if name == "pigz":
        # one process writes other bytes than several, the number of which makes no difference
        command += ["--processes", str(max(os.cpu_count() or 1, 2))]
    return command


def check(tarball: Path, image: Path | None = None) -> Tarball:
    """Read ``tarball`` back as Compute Engine would, and compare it with ``image`` if given.

    :raises InvalidTarball: Compute Engine does not take it; the text says why
    :raises Unsupported: its name is not one that is imported
    :raises VerificationFailed: the image holds something else
    :raises InvalidImage: the image is not a regular file
    :raises OSError: it cannot be read
    """
    _require_suffix(tarball)
    fd = os.open(tarball, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if image is None:
            return _check(fd, tarball)
        with opened(image, write=False) as opened_image:
            return _check(fd, tarball, opened_image.fd, image)
    finally:
        os.close(fd)


def _check(fd: int, tarball: Path, image: int | None = None, name: Path | None = None) -> Tarball:
    """Check the open tarball, and compare it with the open image ``name`` if given."""
    with _unpacked(fd, tarball) as stream:
        disk, segments = read_header(stream)
        if disk % UNIT or not disk:
            raise InvalidTarball(wrong_size(disk))
        if image is None:
            for _ in contents(stream, segments):
                pass
        else:
            _compare(stream, disk, segments, image, name)
        read_end(stream)
    return Tarball(os.fstat(fd).st_size, disk, segments.stored)


@contextmanager
def _unpacked(fd: int, tarball: Path) -> Iterator[IO[bytes]]:
    """Yield the tar archive in the tarball; at the end gzip has checked it.

    :raises InvalidTarball: it is not gzip, is cut off, or its checksum is wrong
    """
    if os.pread(fd, 2, 0) != b"\x1f\x8b":
        raise InvalidTarball(f"{tarball}: not compressed by gzip")
    os.lseek(fd, 0, os.SEEK_SET)
    with programs.started("gzip", "--decompress", "--stdout", stdin=fd) as process:
        assert process.stdout and process.stderr
        reason: InvalidTarball | None = None
        try:
            yield process.stdout
        except InvalidTarball as invalid:
            reason = InvalidTarball(f"{tarball}: {invalid}")
            # a cut-off archive is most often a cut-off tarball, which gzip reports
            while process.stdout.read(CHUNK_SIZE):
                pass
        message = process.stderr.read().decode(errors="replace")
        if process.wait() != 0:
            reason = InvalidTarball(f"{tarball}: {programs.last_line(message)}")
    if reason:
        raise reason


def _compare(
    stream: IO[bytes], disk: int, segments: Segments, image: int, name: Path | None
) -> None:
    """Compare the open image with the disk in the tarball.

    :raises VerificationFailed: they differ
    """
    size = os.fstat(image).st_size
    if size != disk:
        raise VerificationFailed(f"{name}: {size} bytes, but the disk in the tarball has {disk}")
    for position, chunk in contents(stream, segments):
        if os.pread(image, len(chunk), position) != chunk:
            raise VerificationFailed(f"{name}: differs from the tarball at byte {position}")
    left_out = difference(list(data(image, size)), segments)
    block = os.fstatvfs(image).f_frsize
    if difference(left_out, union(zero_blocks(image, left_out, block))):
        raise VerificationFailed(f"{name}: the tarball lacks some of its content")
