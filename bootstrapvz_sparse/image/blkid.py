"""What lies at a place of an image, as libblkid tells it: blkid(8)."""

from __future__ import annotations

from typing import NamedTuple

from ..util import programs

HEAD = 2 << 20  # the signatures that matter here are at the beginning
AMBIVALENT = 8  # exit code of blkid


class Signature(NamedTuple):
    """``type``: the kind of the filesystem, swap area, ..., in blkid's words; ``table``: that of
    the partition table. ``""`` where there is none; ``ambivalent`` where there are several."""

    type: str = ""
    table: str = ""
    ambivalent: bool = False


def signature(fd: int, start: int, end: int) -> Signature:
    """What lies between the bytes ``start`` and ``end`` of the file.

    :raises ProgramMissing: without blkid nobody vouches for what is there
    """
    length = min(end - start, HEAD)
    done = programs.run(
        "blkid",
        *("--probe", "--output", "export", "--offset", str(start), "--size", str(length)),
        programs.same_file(fd),
        fds=[fd],
    )
    if done.returncode == AMBIVALENT:
        return Signature(ambivalent=True)
    values = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    return Signature(type=values.get("TYPE", ""), table=values.get("PTTYPE", ""))
