"""Disks with sectors of 4096 bytes, made by the kernel and sfdisk."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from bootstrapvz_sparse.image import plan, sparsify
from tests.support.e2fsprogs import check
from tests.support.mounting import run

pytestmark = pytest.mark.loop

MIB = 1 << 20
SECTOR = 4096


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A GPT for sectors of 4096 bytes with an ext4 of 64 MiB, half of it free and written."""
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.truncate(96 * MIB)
    script = f"label: gpt\nstart={MIB // SECTOR}, size={64 * MIB // SECTOR}\n"
    device = run("losetup", "--find", "--show", "--sector-size", str(SECTOR), path).strip()
    try:
        subprocess.run(["sfdisk", "--quiet", "--no-reread", device], input=script, text=True)
    finally:
        run("losetup", "--detach", device)
    run("mke2fs", "-q", "-t", "ext4", "-b", "4096", tmp_path / "ext", "64M")
    content = (tmp_path / "ext").read_bytes()
    with path.open("r+b") as file:
        os.pwrite(file.fileno(), content, MIB)
        os.pwrite(file.fileno(), os.urandom(24 * MIB), 37 * MIB)  # free blocks of the filesystem
    return path


def test_free_space_is_found(disk: Path, tmp_path: Path) -> None:
    planned = plan(disk)
    assert planned.notes == ()
    [region] = planned.survey.regions
    assert (region.partition.start, region.partition.end) == (MIB, 65 * MIB)
    report = sparsify(disk, verify=True)
    assert report.after < 8 * MIB and len(report.verified) == 2
    run("dd", f"if={disk}", f"of={tmp_path / 'after'}", "bs=1M", "skip=1", "count=64")
    assert check(tmp_path / "after") == ""
    device = run("losetup", "--find", "--show", "--sector-size", str(SECTOR), disk).strip()
    try:
        assert f"{64 * MIB // SECTOR}" in run("sfdisk", "--list", device)
    finally:
        run("losetup", "--detach", device)
