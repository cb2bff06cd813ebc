"""Signatures of filesystems, tables and arrays, as libblkid finds them: blkid(8)."""

from __future__ import annotations

import json
import os
from typing import NamedTuple

from ..util import programs

NOT_FOUND, AMBIVALENT = 2, 8  # exit codes
SECTOR = 512
# Types of which no two can lie at the same place. Other types are never freed anyway.
KNOWN = ("ext2,ext3,ext4", "xfs", "btrfs", "vfat,exfat,ntfs", "f2fs", "swap")
TINY = 1440 * 1024  # up to this size libblkid stops at the first filesystem, as on a floppy disk


class Signature(NamedTuple):
    """The signatures of a byte range.

    ``type`` is the kind of the filesystem, swap area or array member, ``table`` that of the
    partition table, both in blkid's words and ``""`` where there is none. ``ambivalent``: there is
    more than one. ``error`` is the message of a blkid that could not read the range.
    """

    type: str = ""
    table: str = ""
    ambivalent: bool = False
    error: str = ""


UNKNOWN = Signature()


def signature(fd: int, start: int, end: int) -> Signature:
    """Return the signatures between the bytes ``start`` and ``end`` of the open file.

    libblkid must know the true size: many signatures lie at the end, and it skips types that need
    more space than there is.

    :raises ProgramMissing: blkid or wipefs is not installed
    :raises ProgramFailed: wipefs cannot read the file
    :raises OSError: the file cannot be read
    """
    first = _probe(fd, start, end)
    if first.type and first.table in ("", "dos"):
        first = first._replace(table=_dos_table(fd, start))
    if first == UNKNOWN and end - start > TINY:
        return Signature(ambivalent=_is_ambivalent(fd, start, end))
    if first.table and not first.type and (start, end) == (0, os.fstat(fd).st_size):
        first = first._replace(type=_beside_table(fd))
    if end - start > TINY or not first.type or first.ambivalent:
        return first
    others = _probe(fd, start, end, types=f"no{first.type}")
    return first._replace(ambivalent=others.ambivalent or bool(others.type))


def _is_ambivalent(fd: int, start: int, end: int) -> bool:
    """Return whether there is a known filesystem where blkid finds none.

    blkid of util-linux 2.41 has the exit code of an empty range for several signatures, too.
    """
    return any(_probe(fd, start, end, types=types).type for types in KNOWN)


def _beside_table(fd: int) -> str:
    """Return the type of another signature of the whole image, by wipefs(8).

    libblkid 2.41 verifies checksums of boot sectors, and a table in one makes it wrong: blkid then
    reports nothing but the table.
    """
    listed = programs.run(
        *("wipefs", "--no-act", "--json", "--output", "TYPE,USAGE", programs.same_file(fd)),
        fds=[fd],
    )
    signatures = json.loads(listed.stdout or "{}").get("signatures", [])
    return next((one["type"] for one in signatures if one["usage"] != "partition-table"), "")


def _dos_table(fd: int, start: int) -> str:
    """Return ``dos`` or ``PMBR`` if the boot sector of a filesystem is a partition table, too.

    libblkid reports none in the boot sectors of FAT and NTFS, and an empty one in that of exFAT.
    The kernel looks at the entries: Linux, block/partitions/msdos.c.
    """
    raw = os.pread(fd, SECTOR, start)
    entries = [raw[i : i + 16] for i in range(446, 510, 16)]
    if raw[510:] != b"\x55\xaa" or any(entry[0] & 0x7F for entry in entries):
        return ""  # boot code; the first byte of an entry is 0 or 0x80
    kinds = {entry[4] for entry in entries if entry[4] and any(entry[12:])}
    return "PMBR" if 0xEE in kinds else "dos" if kinds else ""


def _probe(fd: int, start: int, end: int, *, types: str = "") -> Signature:
    """Run blkid on the range, for the ``types`` that its option --match-types takes, or all."""
    done = programs.run(
        "blkid",
        *("--probe", "--output", "export", "--offset", str(start), "--size", str(end - start)),
        *(("--match-types", types) if types else ()),
        programs.same_file(fd),
        fds=[fd],
        check=False,
    )
    if done.returncode == AMBIVALENT:
        return Signature(ambivalent=True)
    if done.returncode not in (0, NOT_FOUND) or (done.returncode and done.stderr.strip()):
        return Signature(error=f"blkid: {programs.last_line(done.stderr)}")
    values = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    return Signature(type=values.get("TYPE", ""), table=values.get("PTTYPE", ""))
