"""The headers of an allocation group. Its block numbers count from its start."""

from __future__ import annotations

import struct
from typing import NamedTuple

from ..free_space import UntrustedMetadata
from .features import FINOBT, REFLINK, RMAPBT
from .layout import HEADERS, Filesystem

AGF_MAGIC, AGI_MAGIC, AGFL_MAGIC = b"XAGF", b"XAGI", b"XAFL"
AGFL_HEADER = 36  # bytes, of version 5


class Group(NamedTuple):
    """One allocation group.

    ``by_place`` and ``by_size``: root and levels of the free-space trees. ``other_roots``: of
    all other trees. ``spare``: blocks set aside for trees, from the AGFL. ``tree_blocks``:
    blocks of the free-space trees and of the tree of owners, but for the roots.
    """

    number: int
    length: int
    by_place: tuple[int, int]
    by_size: tuple[int, int]
    other_roots: list[int]
    spare: list[int]
    free: int
    longest: int
    tree_blocks: int
    owner_blocks: int  # of the tree of owners, rmapbt


def read_group(fs: Filesystem, number: int, newest: int) -> Group:
    """Allocation group ``number``, its headers verified; ``newest`` as in Filesystem.verify."""
    start = number * fs.group_blocks * fs.block
    raw = fs.read(start, HEADERS * fs.sector)
    agf, agi, agfl = (raw[i * fs.sector : (i + 1) * fs.sector] for i in range(1, HEADERS))
    length = fs.group_length(number)
    for what, header, magic, places in (
        ("AGF", agf, AGF_MAGIC, (64, 208, 216)),
        ("AGI", agi, AGI_MAGIC, (296, 320, 312)),
    ):
        if header[:16] != struct.pack(">4sIII", magic, 1, number, length):
            raise UntrustedMetadata(f"allocation group {number} has no {what}")
        fs.verify(header, f"the {what} of group {number}", newest, places)

    place_root, size_root, owner_root, place_levels, size_levels = struct.unpack_from(
        ">5I", agf, 16
    )
    free, longest, tree_blocks = struct.unpack_from(">3I", agf, 52)
    other_roots = [struct.unpack_from(">I", agi, 20)[0]]
    if fs.features.has(FINOBT):
        other_roots += struct.unpack_from(">I", agi, 328)
    if fs.features.has(RMAPBT):
        other_roots.append(owner_root)
    if fs.features.has(REFLINK):
        other_roots += struct.unpack_from(">I", agf, 88)
    return Group(
        number=number,
        length=length,
        by_place=(place_root, place_levels),
        by_size=(size_root, size_levels),
        other_roots=other_roots,
        spare=_spare(fs, number, newest, agfl, struct.unpack_from(">3I", agf, 40)),
        free=free,
        longest=longest,
        tree_blocks=tree_blocks,
        owner_blocks=struct.unpack_from(">I", agf, 80)[0] if fs.features.has(RMAPBT) else 0,
    )


def _spare(
    fs: Filesystem, number: int, newest: int, agfl: bytes, ring: tuple[int, ...]
) -> list[int]:
    """The blocks in the AGFL, of which ``ring`` tells first and last index, and the count."""
    if fs.v5:
        if agfl[:8] != struct.pack(">4sI", AGFL_MAGIC, number):
            raise UntrustedMetadata(f"allocation group {number} has no AGFL")
        fs.verify(agfl, f"the AGFL of group {number}", newest, (8, 24, 32))
        agfl = agfl[AGFL_HEADER:]
    size = len(agfl) // 4
    first, last, count = ring
    # full and empty look alike but for the count
    if max(first, last) >= size or count > size or (count - (last - first + 1)) % size:
        raise UntrustedMetadata(f"allocation group {number} has a broken AGFL")
    return [struct.unpack_from(">I", agfl, (first + i) % size * 4)[0] for i in range(count)]
