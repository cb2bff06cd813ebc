"""The superblock of XFS in three steps: parse, state, geometry."""

from __future__ import annotations

from typing import NamedTuple

from ..free_space import UntrustedMetadata
from .features import Features
from .structs import DSB, xfs_dsb

MAGIC = b"XFSB"

BBSIZE = 512  # bytes of a basic block: the unit of disk addresses and of the log
MIN_AG_BLOCKS = 64
MAX_AGBLKLOG = 31
HEADER_SECTORS = 4  # at the start of a group: superblock, AGF, AGI, AGFL
MIN_SECTOR_SIZE, MAX_SECTOR_SIZE = 512, 32768
MIN_BLOCK_SIZE, MAX_BLOCK_SIZE = 512, 65536


def parse(raw: bytes) -> xfs_dsb:
    """Return the superblock.

    :raises UntrustedMetadata: it is not a superblock
    """
    sb = DSB.unpack(raw)
    if sb.sb_magicnum != MAGIC:
        raise UntrustedMetadata("no XFS superblock")
    return sb


def verify_sector_size(sb: xfs_dsb) -> None:
    """Check sb_sectsize, the bytes that sb_crc covers.

    :raises UntrustedMetadata: it is invalid
    """
    if sb.sb_sectsize != 1 << sb.sb_sectlog or not (
        MIN_SECTOR_SIZE <= sb.sb_sectsize <= MAX_SECTOR_SIZE
    ):
        raise UntrustedMetadata(f"invalid sb_sectsize {sb.sb_sectsize}, sb_sectlog {sb.sb_sectlog}")


def require_clean_state(sb: xfs_dsb, features: Features) -> None:
    """Check that the filesystem needs no repair, is complete, and has no unknown feature.

    :raises UntrustedMetadata: it needs repair, is incomplete, or has an unknown feature
    """
    features.refuse_unknown()
    if sb.sb_inprogress:
        raise UntrustedMetadata("mkfs.xfs did not finish (sb_inprogress)")


class Geometry(NamedTuple):
    """Sizes in bytes and counts of blocks."""

    block_size: int
    sector_size: int
    dblocks: int
    fdblocks: int
    agblocks: int
    agcount: int
    agblklog: int
    header_blocks: int  # at the start of a group

    def ag_length(self, group: int) -> int:
        """Return the blocks of an allocation group; the last one may be shorter."""
        return min(self.agblocks, self.dblocks - group * self.agblocks)


def geometry(sb: xfs_dsb, size: int) -> Geometry:
    """Return the geometry of a filesystem on ``size`` bytes.

    :raises UntrustedMetadata: a field is out of range or contradicts another
    """
    if sb.sb_blocksize != 1 << sb.sb_blocklog or not (
        MIN_BLOCK_SIZE <= sb.sb_blocksize <= MAX_BLOCK_SIZE
    ):
        raise UntrustedMetadata(
            f"invalid sb_blocksize {sb.sb_blocksize}, sb_blocklog {sb.sb_blocklog}"
        )
    agblocks, agcount, dblocks = sb.sb_agblocks, sb.sb_agcount, sb.sb_dblocks
    for valid, field, value in (
        (sb.sb_sectsize <= sb.sb_blocksize, "sb_sectsize", sb.sb_sectsize),
        (agcount >= 1, "sb_agcount", agcount),
        (agblocks >= MIN_AG_BLOCKS, "sb_agblocks", agblocks),
        (
            sb.sb_agblklog <= MAX_AGBLKLOG
            and 1 << sb.sb_agblklog >> 1 < agblocks <= 1 << sb.sb_agblklog,
            "sb_agblklog",
            sb.sb_agblklog,
        ),
        (
            agblocks * (agcount - 1) + MIN_AG_BLOCKS <= dblocks <= agblocks * agcount,
            "sb_dblocks",
            dblocks,
        ),
    ):
        if not valid:
            raise UntrustedMetadata(f"invalid {field} {value}")
    if dblocks * sb.sb_blocksize > size:
        raise UntrustedMetadata(
            f"the filesystem ({dblocks} blocks of {sb.sb_blocksize} bytes) is larger than its "
            f"partition ({size} bytes)"
        )
    if sb.sb_rblocks:
        raise UntrustedMetadata(f"it has a realtime device (sb_rblocks {sb.sb_rblocks})")
    return Geometry(
        block_size=sb.sb_blocksize,
        sector_size=sb.sb_sectsize,
        dblocks=dblocks,
        fdblocks=sb.sb_fdblocks,
        agblocks=agblocks,
        agcount=agcount,
        agblklog=sb.sb_agblklog,
        header_blocks=(HEADER_SECTORS * sb.sb_sectsize - 1) // sb.sb_blocksize + 1,
    )


def log_blocks(sb: xfs_dsb, geometry: Geometry) -> tuple[int, int]:
    """Return the half-open range of the block numbers of the log.

    :raises UntrustedMetadata: it is external, or outside the filesystem
    """
    if sb.sb_logstart == 0:
        raise UntrustedMetadata("the log is on another device (sb_logstart 0)")
    group = sb.sb_logstart >> geometry.agblklog
    within = sb.sb_logstart & (1 << geometry.agblklog) - 1
    if (
        group >= geometry.agcount
        or within < geometry.header_blocks
        or sb.sb_logblocks * geometry.block_size < 2 * BBSIZE
        or within + sb.sb_logblocks > geometry.ag_length(group)
    ):
        raise UntrustedMetadata(
            f"the log lies outside the filesystem: sb_logstart {sb.sb_logstart}, "
            f"sb_logblocks {sb.sb_logblocks}"
        )
    first = group * geometry.agblocks + within
    return first, first + sb.sb_logblocks
