"""Repairs that map partitions by loop devices where the kernel has no device-mapper."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bootstrapvz_sparse.upstream import loop_partitions

from .image import Image
from .needs import needs

PARTITIONS = {
    "type": "gpt",
    "boot": {"filesystem": "ext2", "size": "8MiB"},
    "root": {"filesystem": "ext4", "size": "16MiB"},
}


def load_volume() -> Any:
    from bootstrapvz.base.fs import load_volume

    return load_volume({"partitions": PARTITIONS, "backing": "raw"}, "none")


@pytest.mark.loop
@needs("bootstrapvz.base.fs.partitionmaps.abstract:map_by_loop_devices")
def test_maps_and_unmaps_partitions(image: Image) -> None:
    run = image.workspace / secrets.token_hex(4)
    run.mkdir()
    volume = load_volume()
    volume.image_path = str(run / "volume.raw")
    with open(volume.image_path, "wb") as file:
        file.truncate(32 << 20)
    loop_partitions.select("loop")
    volume.fsm.current = "detached"
    volume.attach()
    try:
        volume.partition_map.create(volume)
        volume.partition_map.map(volume)
        devices = [partition.device_path for partition in volume.partition_map.partitions]
        nodes = [str(path) for path in loop_partitions.device_links(run.name)]
        assert devices == nodes == [f"/dev/bvz-sparse/{run.name}-{number}" for number in (1, 2)]
        assert Path(devices[0]).is_block_device()
        volume.partition_map.unmap(volume)
        assert loop_partitions.device_links(run.name) == []
    finally:
        if volume.partition_map.is_blocking():
            volume.partition_map.unmap(volume)
        volume.detach()


@needs("bootstrapvz.common.tasks.partitioning:require_partition_programs")
def test_requires_programs_of_mapper_in_use(image: Image) -> None:
    from bootstrapvz.common.tasks.partitioning import AddRequiredCommands

    def required(mapper: str) -> set[str]:
        loop_partitions.select(mapper)
        info = SimpleNamespace(volume=load_volume(), host_dependencies={})
        AddRequiredCommands.run(info)
        return set(info.host_dependencies)

    assert required("kpartx") == {"parted", "kpartx"}
    assert required("loop") == {"parted", "sfdisk", "losetup"}


def test_auto_selects_kpartx_only_with_device_mapper(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(loop_partitions, "_mapper", None)
    control = tmp_path / "control"
    monkeypatch.setattr(loop_partitions, "CONTROL", control)
    monkeypatch.setattr(shutil, "which", lambda program: f"/sbin/{program}")
    assert loop_partitions.selected() == "loop"
    control.touch()
    assert loop_partitions.select("auto") == loop_partitions.selected() == "kpartx"
    assert loop_partitions.select("loop") == loop_partitions.selected() == "loop"
    monkeypatch.setattr(shutil, "which", lambda program: None)
    assert loop_partitions.select("auto") == "loop"
    assert os.path.exists(control)


def test_makes_node_again_in_folder_removed_by_another_build(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, made = tmp_path / "nodes", list[Path]()

    def mknod(path: Path, mode: int, device: int) -> None:
        if not made:
            folder.rmdir()
        made.append(path)
        path.touch()

    monkeypatch.setattr(loop_partitions, "NODES", folder)
    monkeypatch.setattr(os, "mknod", mknod)
    assert loop_partitions._make_node("run-1", "/dev/null") == folder / "run-1"
    assert made == [folder / "run-1"] * 2 and made[0].exists()
