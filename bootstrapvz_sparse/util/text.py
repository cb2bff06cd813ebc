"""Sizes, and text that is safe to print."""

from __future__ import annotations

import math
import re

# The grammar of a size, for the command line and for the schema of the manifest.
SIZE_PATTERN = r"^([0-9]+)( ?([KMGTkmgt]([Ii]?[Bb])?|[Bb]))?$"
UNITS = "KMGT"  # powers of 1024


def parse_size(text: str) -> int:
    """Return a size in bytes: ``4096``, ``64K`` and ``64KiB`` are valid.

    As in bootstrap-vz, KB is KiB.

    :raises ValueError: ``text`` is not a valid size
    """
    match = re.match(SIZE_PATTERN, text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a valid size (examples: 900MiB, 2GiB)")
    unit = (match[3] or "")[:1].upper()
    return int(match[1]) << 10 * (UNITS.find(unit) + 1 if unit else 0)


def as_utf8(text: str) -> str:
    """Return ``text`` with ``\\xff`` for each byte of a path or name that is not UTF-8."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


def printable(text: str) -> str:
    """Return ``text`` as one line, with non-printable characters escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in as_utf8(text))


def human(size: float) -> str:
    """Return a number of bytes in a suitable unit: ``741.3 MiB``."""
    if size < 1024:
        return f"{size:.0f} B"
    exponent = min(int(math.log(size, 1024)), len(UNITS))
    return f"{size / 1024**exponent:.1f} {UNITS[exponent - 1]}iB"
