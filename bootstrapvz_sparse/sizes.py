"""Sizes as people write them."""

from __future__ import annotations

import re


def parse(text: str) -> int:
    """A size in bytes: ``4096``, ``64K``, ``64KiB``; as in bootstrap-vz, KB is KiB.

    :raises ValueError: it is none
    """
    found = re.fullmatch(r"(\d+) ?([KMGT]?)(i?B)?", text.strip(), re.IGNORECASE)
    if not found:
        raise ValueError(f"{text!r} is no size, such as 900MiB or 2GiB")
    return int(found[1]) << 10 * " KMGT".index(found[2].upper() or " ")
