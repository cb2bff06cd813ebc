"""XFS with metadata of an earlier day, in a partition."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest

from bootstrapvz_sparse.image import sparsify
from tests.support import xfsprogs
from tests.support.mounting import run
from tests.support.msdos import partitioned
from tests.support.nobody import as_user_with_fuse

pytestmark = pytest.mark.loop

MIB = 1 << 20
SIZE = 96 * MIB


def groups_of(old: bytes, new: bytes) -> bytes:
    """Return ``new`` with blocks 0 to 2 of each allocation group as they were in ``old``."""
    mixed, size = bytearray(new), SIZE // 4
    for group in range(4):
        place = slice(group * size, group * size + 3 * 4096)
        mixed[place] = old[place]
    return bytes(mixed)


def grown(old: bytes, folder: Path) -> bytes:
    """Return the filesystem with a file more, as the kernel writes it."""
    path = folder / "grown"
    path.write_bytes(old)
    script = 'mount -o loop "$1" /mnt && cp --backup=numbered "$2" /mnt/new && umount /mnt'
    source = folder / "new"
    source.write_bytes(random.Random(4).randbytes(5 * MIB))
    run("unshare", "--mount", "sh", "-ec", script, "sh", path, source)
    return path.read_bytes()


def test_groups_of_an_earlier_day() -> None:
    """Every checksum is right, and blocks of the newer file are free: xfs_repair finds it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        xfsprogs.mkfs(folder / "first", ["-d", "agcount=4"], SIZE)
        old = grown((folder / "first").read_bytes(), folder)
        image = partitioned(folder, groups_of(old, grown(old, folder)))
        before = image.read_bytes()

        def work() -> None:
            [note] = sparsify(image).notes
            assert note.startswith("partition 1: free space left alone: xfs_repair: ")
            assert "No modify flag" not in note
            assert image.read_bytes() == before

        as_user_with_fuse(work)
        work()
