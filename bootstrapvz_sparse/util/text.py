"""Sizes as people write them."""

from __future__ import annotations

import math
import re


def parse_size(text: str) -> int:
    """A size in bytes: ``4096``, ``64K``, ``64KiB``; as in bootstrap-vz, KB is KiB.

    :raises ValueError: it is none
    """
    found = re.fullmatch(r"(\d+) ?([KMGT]?)(i?B)?", text.strip(), re.IGNORECASE)
    if not found:
        raise ValueError(f"{text!r} is no size, such as 900MiB or 2GiB")
    return int(found[1]) << 10 * " KMGT".index(found[2].upper() or " ")


def as_utf8(text: str) -> str:
    """``text`` with ``\\xff`` for each byte of a path or a name that is no UTF-8, for JSON."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


def printable(text: str) -> str:
    """``text`` in one line, whatever it holds: paths and labels may have escape sequences."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in as_utf8(text))


def human(size: float) -> str:
    """A number of bytes in the unit that suits it: ``741.3 MiB``."""
    if size < 1024:
        return f"{size:.0f} B"
    exponent = min(int(math.log(size, 1024)), 4)
    return f"{size / 1024**exponent:.1f} {'KMGT'[exponent - 1]}iB"
