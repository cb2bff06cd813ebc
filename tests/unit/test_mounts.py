"""The kernel's list of mounts."""

from __future__ import annotations

import os

import pytest

from bootstrapvz_sparse.util.mounts import Mount, _parse, mounts


@pytest.mark.parametrize(
    ("line", "mount"),
    [
        (
            b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue",
            Mount("98:0", "/mnt2", "ext3", "/dev/root", ("rw", "errors=continue")),
        ),
        (
            b"36 35 0:3 / /with\\040space/\\134/\\012 rw - tmpfs none rw,size=1k",
            Mount("0:3", "/with space/\\/\n", "tmpfs", "none", ("rw", "size=1k")),
        ),
        (
            b"36 35 7:3 / /a rw shared:1 master:2 - fuse.x /a\\040-\\040b\xff rw",
            Mount("7:3", "/a", "fuse.x", os.fsdecode(b"/a - b\xff"), ("rw",)),
        ),
        (b"36 35 0:3 / /a rw - tmpfs  rw", Mount("0:3", "/a", "tmpfs", "", ("rw",))),
    ],
    ids=["optional field", "escapes", "two optional fields", "empty source"],
)
def test_parses_line(line: bytes, mount: Mount) -> None:
    assert _parse(line) == mount


def test_reads_own_mounts() -> None:
    assert any(mount.filesystem == "proc" for mount in mounts())
    assert mounts(os.getpid()) == mounts()
