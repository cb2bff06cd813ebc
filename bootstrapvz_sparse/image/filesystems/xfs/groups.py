"""The headers of an allocation group. Its block numbers count from its start."""

from __future__ import annotations

import struct
from typing import NamedTuple

from ..free_space import UntrustedMetadata
from .features import RO_COMPAT_FINOBT, RO_COMPAT_REFLINK, RO_COMPAT_RMAPBT
from .layout import Filesystem, Seal
from .structs import AGF, AGFL, AGI, xfs_agf, xfs_agi
from .superblock import HEADER_SECTORS

AGF_MAGIC, AGI_MAGIC, AGFL_MAGIC = b"XAGF", b"XAGI", b"XAFL"
AG_VERSION = 1  # agf_versionnum, agi_versionnum
AGF_CRC, AGI_CRC, AGFL_CRC = 216, 312, 32  # offsets of agf_crc, agi_crc, agfl_crc


class Group(NamedTuple):
    """An allocation group of ``length`` blocks.

    ``other_roots``: roots of all trees except the two of free space. ``free_list``: blocks set
    aside for trees, from the AGFL.
    """

    number: int
    length: int
    agf: xfs_agf
    other_roots: list[int]
    free_list: list[int]


def read_group(fs: Filesystem, number: int, head_lsn: int) -> Group:
    """Return allocation group ``number``, its headers verified; ``head_lsn`` as in fs.verify.

    :raises UntrustedMetadata: a header is not in order
    """
    sector = fs.geometry.sector_size
    start = number * fs.geometry.agblocks * fs.geometry.block_size
    raw = fs.read(start, HEADER_SECTORS * sector)
    raw_agf, raw_agi, raw_agfl = (raw[i * sector :][:sector] for i in range(1, HEADER_SECTORS))
    length = fs.geometry.ag_length(number)

    agf = AGF.unpack(raw_agf)
    if agf[:4] != (AGF_MAGIC, AG_VERSION, number, length):
        raise UntrustedMetadata(f"allocation group {number} has no AGF")
    seal = Seal(agf.agf_uuid, agf.agf_lsn, agf.agf_crc, AGF_CRC)
    fs.verify(raw_agf, f"the AGF of group {number}", head_lsn, seal)

    agi = AGI.unpack(raw_agi)
    if agi[:4] != (AGI_MAGIC, AG_VERSION, number, length):
        raise UntrustedMetadata(f"allocation group {number} has no AGI")
    seal = Seal(agi.agi_uuid, agi.agi_lsn, agi.agi_crc, AGI_CRC)
    fs.verify(raw_agi, f"the AGI of group {number}", head_lsn, seal)

    return Group(
        number=number,
        length=length,
        agf=agf,
        other_roots=_other_roots(fs, agf, agi),
        free_list=_free_list(fs, number, agf, raw_agfl, head_lsn),
    )


def _other_roots(fs: Filesystem, agf: xfs_agf, agi: xfs_agi) -> list[int]:
    roots = [agi.agi_root]
    if fs.features.has(RO_COMPAT_FINOBT):
        roots.append(agi.agi_free_root)
    if fs.features.has(RO_COMPAT_RMAPBT):
        roots.append(agf.agf_rmap_root)
    if fs.features.has(RO_COMPAT_REFLINK):
        roots.append(agf.agf_refcount_root)
    return roots


def _free_list(fs: Filesystem, number: int, agf: xfs_agf, raw: bytes, head_lsn: int) -> list[int]:
    """Return the blocks in the AGFL, a ring from agf_flfirst to agf_fllast."""
    if fs.v5:
        agfl = AGFL.unpack(raw)
        if agfl[:2] != (AGFL_MAGIC, number):
            raise UntrustedMetadata(f"allocation group {number} has no AGFL")
        seal = Seal(agfl.agfl_uuid, agfl.agfl_lsn, agfl.agfl_crc, AGFL_CRC)
        fs.verify(raw, f"the AGFL of group {number}", head_lsn, seal)
        raw = raw[AGFL.size :]
    size = len(raw) // 4
    first, last, count = agf.agf_flfirst, agf.agf_fllast, agf.agf_flcount
    # a full ring and an empty one differ in the count only
    if max(first, last) >= size or count > size or (count - (last - first + 1)) % size:
        raise UntrustedMetadata(
            f"invalid AGFL of group {number}: agf_flfirst {first}, agf_fllast {last}, "
            f"agf_flcount {count}"
        )
    ring = struct.unpack_from(f">{size}I", raw)
    return [ring[(first + i) % size] for i in range(count)]
