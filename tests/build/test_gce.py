"""An image for Google Compute Engine, from the manifest to the login prompt of what was packed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bootstrapvz_sparse.builder import leftovers
from bootstrapvz_sparse.image.extents import allocated, data
from bootstrapvz_sparse.image.tarball import check
from bootstrapvz_sparse.upstream import loop_partitions
from tests.build.boot import boot

pytestmark = pytest.mark.build

MANIFEST = Path(__file__).parent.parent.parent / "manifests" / "gce-trixie.yml"


def test_built_packed_unpacked_and_booted(tmp_path: Path) -> None:
    manifest = yaml.safe_load(MANIFEST.read_text())
    manifest["plugins"]["sparse"]["report"] = "report.json"
    (tmp_path / "manifest.yml").write_text(yaml.safe_dump(manifest))
    command = [sys.executable, "-m", "bootstrapvz_sparse.cli", "build", "--log", "log"]
    done = subprocess.run(
        [*command, "--partition-mapper", "loop", "manifest.yml"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    print(done.stderr)
    assert not leftovers.mounts(tmp_path) and not leftovers.loop_devices(tmp_path)
    assert not loop_partitions.NODES.exists()
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
