"""Zero the free blocks of an unmounted filesystem by zerofree(8), if it is clean."""

from __future__ import annotations

import os
from pathlib import Path

from ..util import programs
from .blkid import signature
from .checkers import check
from .filesystems import UntrustedMetadata, find_free_space
from .view import FileMap


def zerofree(device: Path) -> None:
    """Write zeros over the free blocks of the ext filesystem on ``device``, which may be a file.

    zerofree itself checks nothing: if a journal must be replayed, it destroys files.

    :raises UntrustedMetadata: the filesystem is not ext2, ext3 or ext4, or not clean
    :raises ProgramMissing: zerofree or e2fsck is not installed
    :raises ProgramFailed: zerofree failed
    :raises CheckUnavailable: the filesystem cannot be checked
    :raises OSError: the device cannot be read
    """
    fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        where = FileMap(fd, os.lseek(fd, 0, os.SEEK_END))
        kind = signature(fd, 0, where.size).type
        if not kind.startswith("ext"):
            raise UntrustedMetadata(f"zerofree cannot handle {kind or 'unknown content'}")
        find_free_space(kind, where)
        if complaint := check(where, kind, fd).complaint:
            raise UntrustedMetadata(complaint)
    finally:
        os.close(fd)
    programs.run("zerofree", device)
