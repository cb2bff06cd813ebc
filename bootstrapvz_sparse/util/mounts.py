"""The kernel's list of mounts, proc_pid_mountinfo(5)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple


class Mount(NamedTuple):
    """A mounted filesystem.

    ``device``: ``major:minor``; ``source``: a device, a file or another name chosen by the
    filesystem; ``options``: of the filesystem, such as ``rw`` and ``discard``.
    """

    device: str
    point: str
    filesystem: str
    source: str
    options: tuple[str, ...]


def mounts(process: int | str = "self") -> list[Mount]:
    """Return the mounts that ``process`` sees, in the order in which they were mounted.

    :raises OSError: the list cannot be read, or the process has ended
    """
    lines = Path(f"/proc/{process}/mountinfo").read_bytes().split(b"\n")
    return [_parse(line) for line in lines if line]


def _parse(line: bytes) -> Mount:
    """Parse a line; the optional fields in its middle end with ``-``."""
    before, _, after = line.partition(b" - ")
    _, _, device, _, point, *_ = before.split(b" ")
    filesystem, source, options = after.split(b" ", 2)
    return Mount(
        device.decode(),
        _unescape(point),
        _unescape(filesystem),
        _unescape(source),
        tuple(_unescape(option) for option in options.split(b",")),
    )


def _unescape(text: bytes) -> str:
    r"""Undo the kernel's escapes: ``\040`` is a space, ``\012`` the end of a line."""
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8) & 0xFF]), text))
