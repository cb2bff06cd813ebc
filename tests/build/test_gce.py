"""An image for Google Compute Engine, from the manifest to the login prompt of what was packed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from bootstrapvz_sparse.builder import leftovers
from bootstrapvz_sparse.image.extents import allocated, data
from bootstrapvz_sparse.image.tarball import check
from bootstrapvz_sparse.upstream import loop_partitions
from tests.build.base import build, manifest_of
from tests.build.boot import boot

pytestmark = [
    *(pytest.mark.build, pytest.mark.long, pytest.mark.timeout(1800)),
    pytest.mark.xdist_group("partition-nodes"),
]


def test_built_packed_unpacked_and_booted(shared: Path, tmp_path: Path) -> None:
    manifest = manifest_of("gce-trixie")
    manifest["plugins"]["sparse"]["report"] = "report.json"
    nodes = set(loop_partitions.NODES.glob("*"))
    build(tmp_path, manifest, shared, "--partition-mapper", "loop")
    assert not leftovers.mounts(tmp_path) and not leftovers.loop_devices(tmp_path)
    assert set(loop_partitions.NODES.glob("*")) <= nodes
    [tarball] = (tmp_path / "images").iterdir()
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["image"], report["tarball"], report["notes"]) == (None, str(tarball), [])
    stages = {stage["stage"]: stage for stage in report["stages"]}
    found = check(tarball)
    assert (found.size, found.disk) == (stages["packed"]["apparent"], 10 << 30)

    subprocess.run(["tar", "-C", tmp_path, "-xzf", tarball], check=True)
    disk = tmp_path / "disk.raw"
    with disk.open("rb") as file:
        os.fsync(file.fileno())
        extents = len(list(data(file.fileno(), found.disk)))
    assert allocated(disk.stat()) <= stages["moved"]["allocated"] + 4096 * extents
    _, console = boot(disk)  # from GRUB
    assert "FAILED" not in console
    assert "expand-root" in console
