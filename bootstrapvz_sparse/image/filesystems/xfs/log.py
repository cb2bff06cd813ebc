"""Whether the log is empty. It is a ring of basic blocks, each of which begins with the number of
the cycle, from 1, in which it was written; or with the header of a record, where the cycle comes
second. Where the cycle changes, or at the end if it does not, is the head: the end of what was
written last.
"""

from __future__ import annotations

import struct

from ..checksums import crc32c
from ..free_space import UntrustedMetadata
from .layout import BASIC, Filesystem

RECORD_MAGIC = b"\xfe\xed\xba\xbe"
MOST_RECORD = 256 * 1024  # with its header
PER_HEADER = 32 * 1024  # bytes of a record that one block of header is for
HEADER_SIZES = (328, 324)  # as structures of 64-bit and of 32-bit machines, for the checksum
LOG_CLIENT = 0xAA  # oh_clientid
UNMOUNT = 0x20  # oh_flags
NEAR = 16, 128  # basic blocks: most records are shorter
BEHIND = 32  # basic blocks behind the head whose cycle is looked at


def head_of_clean_log(fs: Filesystem) -> int:
    """The log sequence number of the head: cycle, and number of the basic block.

    :raises UntrustedMetadata: what was written last is not the record of a clean unmount
    """
    log = _Log(fs)
    newest, oldest = log.cycle(0), log.cycle(log.length - 1)
    if newest == 0:
        raise UntrustedMetadata("its log was never written")
    if newest == oldest:
        head = log.length
    elif newest == oldest + 1:
        head = _change(log, newest, oldest)
    else:
        raise UntrustedMetadata("its log is not in order")
    behind = head % log.length
    for raw in _split(log.read(behind, min(BEHIND, log.length - behind))):
        if _cycle(raw) != oldest:
            raise UntrustedMetadata("its log is not in order")
    _verify_unmount(fs, log, head, newest)
    return newest << 32 | head if head < log.length else newest + 1 << 32


class _Log:
    """The log's basic blocks, ``length`` of them."""

    def __init__(self, fs: Filesystem) -> None:
        self._fs = fs
        self._start = fs.log[0] * fs.block
        self.length = (fs.log[1] - fs.log[0]) * fs.block // BASIC

    def read(self, first: int, count: int) -> bytes:
        """``count`` blocks from ``first``, going on at the start behind the end."""
        first %= self.length
        fits = min(count, self.length - first)
        raw = self._fs.read(self._start + first * BASIC, fits * BASIC)
        return raw + self.read(0, count - fits) if fits < count else raw

    def cycle(self, number: int) -> int:
        return _cycle(self.read(number, 1))


def _cycle(block: bytes) -> int:
    place = 4 if block[:4] == RECORD_MAGIC else 0
    return int.from_bytes(block[place : place + 4], "big")


def _split(raw: bytes) -> list[bytes]:
    return [raw[i : i + BASIC] for i in range(0, len(raw), BASIC)]


def _change(log: _Log, newest: int, oldest: int) -> int:
    """The first block of cycle ``oldest``, where all before it are of ``newest``."""
    low, high = 0, log.length - 1
    while high - low > 1:
        middle = (low + high) // 2
        cycle = log.cycle(middle)
        if cycle not in (newest, oldest):
            raise UntrustedMetadata("its log is not in order")
        low, high = (middle, high) if cycle == newest else (low, middle)
    return high


def _last_record(log: _Log, head: int) -> tuple[int, bytes]:
    """The record that ends at the head: number of its first block, and all of it."""
    for count in (*NEAR, MOST_RECORD // BASIC):
        count = min(count, log.length)
        raw = log.read(head - count, count)
        for i in range(count - 1, -1, -1):
            if raw[i * BASIC :].startswith(RECORD_MAGIC):
                return (head - count + i) % log.length, raw[i * BASIC :]
    raise UntrustedMetadata("its log has no record at its end")


def _verify_unmount(fs: Filesystem, log: _Log, head: int, newest: int) -> None:
    """Refuse all but the record of a clean unmount before the head."""
    first, raw = _last_record(log, head)
    cycle, version, length, lsn, tail = struct.unpack_from(">IIIQQ", raw, 4)
    operations, size = struct.unpack_from(">I", raw, 40)[0], struct.unpack_from(">I", raw, 320)[0]
    wraps = first + len(raw) // BASIC > log.length
    headers = max(-(-size // PER_HEADER), 1) if version == 2 else 1
    if (
        version != fs.features.log_version
        or cycle != (newest - 1 if wraps else newest)
        or lsn != cycle << 32 | first
        or raw[304:320] != fs.log_uuid
        or not 0 < length <= MOST_RECORD
        or (headers + -(-length // BASIC)) * BASIC != len(raw)
    ):
        raise UntrustedMetadata("its log has no record at its end")
    for i, block in enumerate(_split(raw)):
        if _cycle(block) != (cycle if first + i < log.length else cycle + 1):
            raise UntrustedMetadata("its log is not in order")
    if fs.v5:
        _verify_checksum(raw, headers, length)
    # the first word of each block gave way to the cycle
    operation_length, client, flags = struct.unpack_from(">IBB", raw, headers * BASIC + 4)
    if operations != 1 or client != LOG_CLIENT or flags != UNMOUNT or operation_length > length:
        raise UntrustedMetadata("its log is not empty")
    oldest_tail = cycle - 1 << 32 | first
    if not oldest_tail <= tail <= lsn or tail & 0xFFFFFFFF >= log.length:
        raise UntrustedMetadata("its log is not in order")


def _verify_checksum(raw: bytes, headers: int, length: int) -> None:
    """Verify the record's checksum, if it has one: that of mkfs has none."""
    found = int.from_bytes(raw[32:36], "little")
    used = -(-length // PER_HEADER)  # extended headers in use, the first included
    extended = b"".join(raw[i * BASIC : i * BASIC + 260] for i in range(1, used))
    body = raw[headers * BASIC :][:length]
    for size in HEADER_SIZES:
        header = raw[:32] + bytes(4) + raw[36:size]
        if found in (0, ~crc32c(header + extended + body) & 0xFFFFFFFF):
            return
    raise UntrustedMetadata("wrong checksum of the end of its log")
