"""zerofree(8) on an unmounted filesystem, once it has been found to be in order."""

from __future__ import annotations

import os
from pathlib import Path

from ..util import programs
from ..util.errors import Refused
from .blkid import signature
from .filesystems import UntrustedMetadata, unneeded
from .partitions import Partition
from .verify import check


def zerofree(device: Path) -> None:
    """Let zerofree write zeros over the free blocks of the ext filesystem on ``device``.

    ``device`` may be a file, too. zerofree itself asks for nothing: where a journal waits to be
    replayed, it destroys files without a word.

    :raises UntrustedMetadata: the filesystem is none of ext2, ext3, ext4, or not in order
    :raises Refused: zerofree fails
    :raises ProgramMissing: it, or e2fsck, is not installed
    :raises CheckUnavailable: e2fsck cannot run here
    :raises OSError: the device cannot be read
    """
    fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.lseek(fd, 0, os.SEEK_END)
        kind = signature(fd, 0, size).type
        if not kind.startswith("ext"):
            raise UntrustedMetadata(f"zerofree knows nothing of {kind or 'what is there'}")
        unneeded(kind, fd, 0, size)
        if wrong := check(fd, Partition(0, 0, size, filesystem=kind)):
            raise UntrustedMetadata(wrong)
    finally:
        os.close(fd)
    done = programs.run("zerofree", device)
    if done.returncode:
        raise Refused(f"zerofree failed: {programs.last_line(done.stderr or done.stdout)}")
