"""A FUSE server of one read-only file. Source: linux/fuse.h, version 7.31.

The root of the mount is the file itself, so no name is ever looked up.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import struct

from .pieces import Pieces

# enum fuse_opcode
FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH = 2, 3, 14, 15, 17, 18, 25
INIT, INTERRUPT, DESTROY, BATCH_FORGET = 26, 36, 38, 42
UNANSWERED = (FORGET, BATCH_FORGET, INTERRUPT, DESTROY)
VERSION = 7, 31  # FUSE_KERNEL_VERSION, FUSE_KERNEL_MINOR_VERSION
FLAGS = 1 << 0 | 1 << 18 | 1 << 22  # FUSE_ASYNC_READ, FUSE_PARALLEL_DIROPS, FUSE_MAX_PAGES
FOPEN_KEEP_CACHE = 1 << 1
IN_HEADER = struct.Struct("<IIQ24x")  # fuse_in_header: len, opcode, unique
OUT_HEADER = struct.Struct("<IiQ")  # fuse_out_header: len, error, unique
INIT_IN = struct.Struct("<4I")  # fuse_init_in: major, minor, max_readahead, flags
# fuse_init_out: major, minor, max_readahead, flags, max_background, congestion_threshold,
# max_write, time_gran, max_pages, map_alignment, flags2
INIT_OUT = struct.Struct("<4I2H2I2HI28x")
OPEN_IN = struct.Struct("<I")  # fuse_open_in: flags
OPEN_OUT = struct.Struct("<QI4x")  # fuse_open_out: fh, open_flags
READ_IN = struct.Struct("<8xQI")  # fuse_read_in: offset, size
# fuse_attr_out: attr_valid, attr_valid_nsec; fuse_attr: ino, size, blocks, three times and
# their nanoseconds, mode, nlink, uid, gid, rdev, blksize, flags
ATTR_OUT = struct.Struct("<QI4x 3Q 24x 12x 7I")
STATFS_OUT = struct.Struct("<40x3I28x")  # fuse_kstatfs: bsize, namelen, frsize
BLOCK = 4096  # bytes
MAX_WRITE = 4096  # bytes; nothing is written
MAX_PAGES = 256  # of a request to read
BUFFER_SIZE = 4 * 4096  # over FUSE_MIN_READ_BUFFER and over a header and MAX_WRITE
SECONDS_VALID = 3600  # of attributes


def serve(device: int, pieces: Pieces, ended: int) -> None:
    """Answer the requests of ``device``, an open /dev/fuse, until the pipe ``ended`` is closed.

    :raises OSError: the device cannot be read or written
    """
    os.set_blocking(device, False)
    poll = select.poll()
    poll.register(device, select.POLLIN)
    poll.register(ended, 0)  # POLLHUP only
    while not any(fd == ended for fd, _ in poll.poll()):
        try:
            request = os.read(device, BUFFER_SIZE)
        except OSError as error:
            if error.errno == errno.ENODEV:  # unmounted
                return
            if error.errno in (errno.EAGAIN, errno.ENOENT):  # the request was interrupted
                continue
            raise
        _, opcode, unique = IN_HEADER.unpack_from(request)
        if opcode in UNANSWERED:
            continue
        try:
            status, body = 0, _answer(opcode, request[IN_HEADER.size :], pieces)
        except OSError as error:
            status, body = -(error.errno or errno.EIO), b""
        header = OUT_HEADER.pack(OUT_HEADER.size + len(body), status, unique)
        try:
            os.writev(device, [header, body])
        except OSError as error:
            if error.errno != errno.ENOENT:  # the request was interrupted
                raise


def _answer(opcode: int, body: bytes, pieces: Pieces) -> bytes:
    if opcode == READ:
        return pieces.read(*READ_IN.unpack_from(body))
    if opcode == GETATTR:
        size, mode = pieces.size, stat.S_IFREG | stat.S_IRUSR
        owner = os.getuid(), os.getgid()
        return ATTR_OUT.pack(
            *(SECONDS_VALID, 0, 1, size, size // 512, mode, 1, *owner, 0, BLOCK, 0)
        )
    if opcode == INIT:
        _, _, max_readahead, flags = INIT_IN.unpack_from(body)
        return INIT_OUT.pack(
            *(*VERSION, max_readahead, flags & FLAGS, 16, 12, MAX_WRITE, 1, MAX_PAGES, 0, 0)
        )
    if opcode == OPEN:
        if OPEN_IN.unpack_from(body)[0] & os.O_ACCMODE:
            raise OSError(errno.EROFS, "read-only")
        return OPEN_OUT.pack(0, FOPEN_KEEP_CACHE)
    if opcode == STATFS:
        return STATFS_OUT.pack(BLOCK, 255, BLOCK)
    if opcode in (RELEASE, FLUSH):
        return b""
    raise OSError(errno.ENOSYS, "not needed for reading")
