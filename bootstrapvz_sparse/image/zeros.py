"""Read ranges of a file once and find the blocks that hold only zeros."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator

from .extents import Range

CHUNK = 1 << 20
AHEAD = 8 * CHUNK  # bytes to read ahead: faster with a cold page cache, no cost with a warm one

OnData = Callable[[memoryview], object]


def zero_blocks(
    fd: int,
    ranges: Iterable[Range],
    block: int,
    treat_as_zero: Iterable[Range] = (),
    *,
    on_data: OnData | None = None,
) -> Iterator[Range]:
    """Read ``ranges`` of the file once and yield the blocks of ``block`` bytes that are zero.

    Bytes in ``treat_as_zero``, sorted ranges, count as zeros whatever their value. A partial block
    at the end of a range counts if all of it is zero. Ranges are expected to start on a block.
    ``on_data`` is called with all data that was read, in order, with ``treat_as_zero`` zeroed.
    Takes a few MiB of memory, whatever the file's size.

    :raises OSError: the file cannot be read, or became shorter meanwhile
    """
    chunk = max(CHUNK // block, 1) * block
    zeros = bytes(chunk)
    buffer = bytearray(chunk)
    view = memoryview(buffer)
    zeroed = iter(treat_as_zero)
    current = next(zeroed, None)
    for start, end in ranges:
        for position in range(start, end, chunk):
            length = min(chunk, end - position)
            _read(fd, view[:length], position)
            while current and current[0] < position + length:
                first, last = max(current[0] - position, 0), min(current[1] - position, length)
                if first < last:
                    view[first:last] = zeros[: last - first]
                if current[1] > position + length:
                    break
                current = next(zeroed, None)
            if on_data:
                on_data(view[:length])
            for first, last in _zero_runs(buffer, length, zeros, block):
                yield position + first, position + last


def _read(fd: int, view: memoryview, position: int) -> None:
    """Fill ``view`` from the page cache, or else from the disk, reading ahead.

    Reading ahead cached pages would wait for concurrent hole punching.
    """
    try:
        done = os.preadv(fd, [view], position, os.RWF_NOWAIT)
    except OSError:  # not cached, or the filesystem cannot tell
        done = 0
    if done < len(view):
        os.posix_fadvise(fd, position + done, AHEAD, os.POSIX_FADV_WILLNEED)
    while done < len(view):
        count = os.preadv(fd, [view[done:]], position + done)
        if count == 0:
            raise OSError(errno.EIO, "the file became shorter while it was read")
        done += count


def _zero_runs(buffer: bytearray, length: int, zeros: bytes, block: int) -> Iterator[Range]:
    if buffer.startswith(zeros if length == len(zeros) else zeros[:length]):
        yield 0, length
        return
    zero_block = zeros[:block]
    # a block that is zero begins with a zero byte, and few others do
    first_bytes = buffer[:length:block]
    index = first_bytes.find(0)
    while index >= 0:
        start = index * block
        end = min(start + block, length)
        if buffer.startswith(zero_block if end - start == block else zeros[: end - start], start):
            yield start, end
        index = first_bytes.find(0, index + 1)
