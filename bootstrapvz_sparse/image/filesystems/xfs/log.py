"""The end of the log, which must be the record of a clean unmount.

The log is a ring of basic blocks. Each begins with the number of the cycle, from 1, in which it was
written, or with the header of a record (xlog_rec_header), where the cycle is the second word. The
head is the place where the cycle changes, or the end if it does not: the end of the last write.
"""

from __future__ import annotations

from ..checksums import crc32c
from ..free_space import NeedsRecovery, UntrustedMetadata
from .layout import Filesystem
from .structs import OP_HEADER, REC_HEADER, xlog_rec_header
from .superblock import BBSIZE

XLOG_HEADER_MAGIC = b"\xfe\xed\xba\xbe"
XLOG_HEADER_CYCLE_SIZE = 32 * 1024  # bytes of a record for each basic block of its header
MAX_RECORD_SIZE = 256 * 1024  # XLOG_MAX_RECORD_BSIZE, with its header
EXTENDED_HEADER_SIZE = 260  # of xlog_rec_ext_header: the second and later blocks of a header
HEADER_SIZES = (328, 324)  # of xlog_rec_header on 64-bit and 32-bit machines, for the checksum
H_CRC = 32  # offset of h_crc

XFS_LOG = 0xAA  # oh_clientid
XLOG_UNMOUNT_TRANS = 0x20  # oh_flags
NEAR_HEAD = 16, 128  # basic blocks: most records are shorter
CHECKED_AFTER_HEAD = 32  # basic blocks that must belong to the older cycle

OUT_OF_ORDER = "the log is not in order"
NO_RECORD = "the log has no complete record at its end"


def head_of_clean_log(fs: Filesystem) -> int:
    """Return the log sequence number of the head: cycle, and number of the basic block.

    :raises NeedsRecovery: the last record is not of a clean unmount, or the log is torn
    :raises UntrustedMetadata: the log was never written
    """
    log = _Log(fs)
    newest, oldest = log.cycle(0), log.cycle(log.length - 1)
    if newest == 0:
        raise UntrustedMetadata("the log was never written")
    if newest == oldest:
        head = log.length
    elif newest == oldest + 1:
        head = _find_change(log, newest, oldest)
    else:
        raise NeedsRecovery(OUT_OF_ORDER)
    after = head % log.length
    for block in _split(log.read(after, min(CHECKED_AFTER_HEAD, log.length - after))):
        if _cycle(block) != oldest:
            raise NeedsRecovery(OUT_OF_ORDER)
    _verify_unmount(fs, log, head, newest)
    return newest << 32 | head if head < log.length else newest + 1 << 32


class _Log:
    """The log's ``length`` basic blocks."""

    def __init__(self, fs: Filesystem) -> None:
        self._fs = fs
        first, end = fs.log
        self._start = first * fs.geometry.block_size
        self.length = (end - first) * fs.geometry.block_size // BBSIZE

    def read(self, first: int, count: int) -> bytes:
        """Return ``count`` blocks from ``first``, the start following the end."""
        first %= self.length
        fits = min(count, self.length - first)
        raw = self._fs.read(self._start + first * BBSIZE, fits * BBSIZE)
        return raw + self.read(0, count - fits) if fits < count else raw

    def cycle(self, number: int) -> int:
        """Return the cycle in which a block was written."""
        return _cycle(self.read(number, 1))


def _cycle(block: bytes) -> int:
    place = 4 if block.startswith(XLOG_HEADER_MAGIC) else 0
    return int.from_bytes(block[place : place + 4], "big")


def _split(raw: bytes) -> list[bytes]:
    return [raw[i : i + BBSIZE] for i in range(0, len(raw), BBSIZE)]


def _find_change(log: _Log, newest: int, oldest: int) -> int:
    """Return the first block of cycle ``oldest``; all blocks before it belong to ``newest``."""
    low, high = 0, log.length - 1
    while high - low > 1:
        middle = (low + high) // 2
        cycle = log.cycle(middle)
        if cycle not in (newest, oldest):
            raise NeedsRecovery(OUT_OF_ORDER)
        low, high = (middle, high) if cycle == newest else (low, middle)
    return high


def _last_record(log: _Log, head: int) -> tuple[int, bytes]:
    """Return the number of the first block of the record that ends at the head, and its bytes."""
    for count in (*NEAR_HEAD, MAX_RECORD_SIZE // BBSIZE):
        count = min(count, log.length)
        raw = log.read(head - count, count)
        for i in range(count - 1, -1, -1):
            if raw.startswith(XLOG_HEADER_MAGIC, i * BBSIZE):
                return (head - count + i) % log.length, raw[i * BBSIZE :]
    raise NeedsRecovery(NO_RECORD)


def _verify_unmount(fs: Filesystem, log: _Log, head: int, newest: int) -> None:
    """Check that the record before the head is one of a clean unmount."""
    first, raw = _last_record(log, head)
    header = REC_HEADER.unpack(raw)
    wraps = first + len(raw) // BBSIZE > log.length
    cycle = newest - 1 if wraps else newest
    header_blocks = 1
    if header.h_version == 2:
        header_blocks = max(-(-header.h_size // XLOG_HEADER_CYCLE_SIZE), 1)
    lsn = cycle << 32 | first
    if (
        header.h_version != fs.features.log_version
        or header.h_cycle != cycle
        or header.h_lsn != lsn
        or header.h_fs_uuid != fs.sb.sb_uuid
        or not 0 < header.h_len <= MAX_RECORD_SIZE
        or (header_blocks + -(-header.h_len // BBSIZE)) * BBSIZE != len(raw)
    ):
        raise NeedsRecovery(NO_RECORD)
    for i, block in enumerate(_split(raw)):
        if _cycle(block) != (cycle if first + i < log.length else cycle + 1):
            raise NeedsRecovery(OUT_OF_ORDER)
    if fs.v5:
        _verify_checksum(header, raw, header_blocks)
    # the first word of each block, here oh_tid, gave way to the cycle
    operation = OP_HEADER.unpack(raw, header_blocks * BBSIZE)
    if (
        header.h_num_logops != 1
        or operation.oh_clientid != XFS_LOG
        or operation.oh_flags != XLOG_UNMOUNT_TRANS
        or operation.oh_len > header.h_len
    ):
        raise NeedsRecovery("the log needs recovery")
    tail = header.h_tail_lsn
    oldest_tail = cycle - 1 << 32 | first
    if not oldest_tail <= tail <= lsn or tail & 0xFFFFFFFF >= log.length:
        raise NeedsRecovery(OUT_OF_ORDER)


def _verify_checksum(header: xlog_rec_header, raw: bytes, header_blocks: int) -> None:
    """Verify the record's checksum, if there is one: mkfs.xfs writes none."""
    used = -(-header.h_len // XLOG_HEADER_CYCLE_SIZE)  # blocks of the header in use
    extended = b"".join(raw[i * BBSIZE :][:EXTENDED_HEADER_SIZE] for i in range(1, used))
    body = raw[header_blocks * BBSIZE :][: header.h_len]
    found = int.from_bytes(header.h_crc, "little")
    for size in HEADER_SIZES:
        covered = raw[:H_CRC] + bytes(4) + raw[H_CRC + 4 : size]
        if found in (0, ~crc32c(covered + extended + body) & 0xFFFFFFFF):
            return
    raise NeedsRecovery("wrong checksum of the last record of the log")
