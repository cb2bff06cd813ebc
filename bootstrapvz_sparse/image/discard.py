"""FITRIM (fstrim(8)) on a private mount, for filesystems that nothing here reads. Needs root."""

from __future__ import annotations

import contextlib
import os

from ..util import loop, programs
from ..util.errors import ProgramMissing
from .access import Image
from .partitions import Partition
from .verify import check

MOUNTABLE = ("btrfs", "exfat", "f2fs", "vfat")  # that pass FITRIM on, in blkid's words

# The loop device and the mount live as long as the namespace: no longer than this, come what may.
SCRIPT = 'mount --types "$1" --options "$2" -- "$3" "$4" && exec fstrim -- "$4"'


class NotDiscarded(Exception):
    """The free blocks were not discarded; the text says why."""


def trim(point: str | os.PathLike[str]) -> None:
    """Discard what is free in the filesystem mounted on ``point``, as fstrim(8) does.

    :raises NotDiscarded: the kernel cannot
    :raises ProgramMissing: fstrim is not installed
    """
    done = programs.run("fstrim", "--", os.fspath(point))
    if done.returncode:
        raise NotDiscarded(programs.last_line(done.stderr))


def discard(image: Image, partition: Partition) -> None:
    """Let the kernel punch the free blocks of the partition; it writes to its metadata, too.

    :raises NotDiscarded: not root, it is broken, or the kernel cannot mount or discard it
    """
    import tempfile  # takes its time, which few runs need to spend

    if os.geteuid() != 0:
        raise NotDiscarded(f"finding the free blocks of {partition.filesystem} needs root")
    with contextlib.suppress(ProgramMissing):  # the kernel looks at it itself
        if wrong := check(image.fd, partition):
            raise NotDiscarded(wrong)
    length = partition.end - partition.start
    options = f"loop,offset={partition.start},sizelimit={length},nodev,nosuid,noexec"
    try:
        programs.find("mount"), programs.find("fstrim")
        with tempfile.TemporaryDirectory() as point:
            done = programs.run(
                "unshare",
                *("--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"),
                *(partition.filesystem, options, image.path, point),
            )
    except ProgramMissing as missing:
        raise NotDiscarded(str(missing)) from missing
    finally:
        loop.wait_until_detached(image.fd)
    if done.returncode:
        raise NotDiscarded(programs.last_line(done.stderr))
