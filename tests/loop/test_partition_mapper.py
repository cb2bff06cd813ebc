"""Partitions as loop devices: small builds, and what they leave behind."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bootstrapvz.base.main import run as bootstrap
from bootstrapvz.base.manifest import Manifest
from bootstrapvz.common.tasks import partitioning, volume

from bootstrapvz_sparse.cli import main
from bootstrapvz_sparse.upstream import loop_partitions
from tests.support.manifests import write
from tests.support.mounting import run
from tests.support.small import Failure, nothing_is_left, tasks_of
from tests.support.unable import unable

pytestmark = [pytest.mark.loop, pytest.mark.usefixtures("fakes", "nothing_in_dev")]


def layout(label: str, *, boot: bool = True, swap: bool = True) -> dict[str, Any]:
    found: dict[str, Any] = {"type": label}
    if boot:
        found["boot"] = {"filesystem": "ext2", "size": "16MiB"}
    if swap:
        found["swap"] = {"size": "16MiB"}
    return {**found, "root": {"filesystem": "ext4", "size": "64MiB"}}


def changes(label: str, **options: bool) -> dict[str, Any]:
    return {"system.bootloader": "none", "volume.partitions": layout(label, **options)}


@pytest.fixture
def nothing_in_dev(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Check that the builds of a test leave nothing in /dev; other builds may run meanwhile."""
    if not shutil.which("parted"):
        unable("parted is not there")
    make_node, nodes = loop_partitions._make_node, list[Path]()

    def recorded(name: str, device: str) -> Path:
        nodes.append(loop_partitions.NODES / name)
        return make_node(name, device)

    monkeypatch.setattr(loop_partitions, "_make_node", recorded)
    monkeypatch.setattr(loop_partitions, "_mapper", None)
    yield
    assert [node for node in nodes if os.path.lexists(node)] == []
    for run_name in {node.name.rpartition("-")[0] for node in nodes}:
        assert loop_partitions.device_links(run_name) == []


@pytest.mark.parametrize("label", ["msdos", "gpt"])
@pytest.mark.parametrize(("boot", "swap"), [(True, True), (True, False), (False, False)])
def test_built(tmp_path: Path, label: str, boot: bool, swap: bool) -> None:
    path = write(
        tmp_path,
        {
            **changes(label, boot=boot, swap=swap),
            "plugins": {"sparse": {"report": "report.json"}},
        },
    )
    assert main(["build", "--log", "-", "--partition-mapper", "loop", str(path)]) == 0
    [image] = (tmp_path / "images").iterdir()
    table = json.loads(run("sfdisk", "--json", image))["partitiontable"]
    assert table["label"] == ("dos" if label == "msdos" else "gpt")
    assert len(table["partitions"]) == 1 + boot + swap
    report = json.loads((tmp_path / "report.json").read_text())
    number = 1 + boot + swap
    assert f"partition {number}: ext4 checks clean" in report["verified"]
    assert ("partition 1: ext2 checks clean" in report["verified"]) == boot
    assert not [note for note in report["notes"] if "swap" in note]


TASKS = tasks_of(changes("gpt"))
NEW = [
    partitioning.MapPartitions,
    partitioning.UnmapPartitions,
    *TASKS[TASKS.index(partitioning.MapPartitions) + 1 :][:6],
    *TASKS[TASKS.index(partitioning.UnmapPartitions) + 1 :][:3],
]


@pytest.mark.parametrize("task", NEW, ids=repr)
def test_by_the_rollback_of_bootstrap_vz_itself(
    task: Any, tmp_path: Path, fails: Callable[..., None]
) -> None:
    loop_partitions.select("loop")
    fails(task, Failure("on purpose"), at_its_end=False)
    with pytest.raises(Failure):
        bootstrap(Manifest(path=str(write(tmp_path, changes("gpt")))))
    if TASKS.index(task) <= TASKS.index(volume.Detach):
        nothing_is_left(tmp_path)
    else:
        [image] = (tmp_path / "images").iterdir()
        run("sfdisk", "--verify", image)


@pytest.mark.parametrize("task", NEW[:3], ids=repr)
def test_interrupted(task: Any, tmp_path: Path, fails: Callable[..., None]) -> None:
    fails(task, KeyboardInterrupt(), at_its_end=True)
    path = write(tmp_path, changes("msdos"))
    assert main(["build", "--log", "-", "--partition-mapper", "loop", str(path)]) == 1
    nothing_is_left(tmp_path)


def test_mapping_that_fails_half_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attach, calls = loop_partitions._attach, []

    def failing(*arguments: Any) -> str:
        calls.append(arguments)
        if len(calls) == 3:
            raise Failure("on purpose")
        return attach(*arguments)

    loop_partitions.select("loop")
    monkeypatch.setattr(loop_partitions, "_attach", failing)
    with pytest.raises(Failure):
        bootstrap(Manifest(path=str(write(tmp_path, changes("gpt")))))
    nothing_is_left(tmp_path)


def test_interrupted_right_after_a_device_was_attached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attaching(volume: Any, start: int, size: int) -> str:
        attach(volume, start, size)
        raise KeyboardInterrupt

    loop_partitions.select("loop")
    attach = loop_partitions._attach
    monkeypatch.setattr(loop_partitions, "_attach", attaching)
    with pytest.raises(KeyboardInterrupt):
        bootstrap(Manifest(path=str(write(tmp_path, changes("gpt")))))
    nothing_is_left(tmp_path)


def test_beside_what_others_have_in_dev(tmp_path: Path) -> None:
    """Each build knows its own nodes and links by the name of its run."""
    loop_partitions.NODES.mkdir(exist_ok=True)
    loop_partitions.LINKS.mkdir(parents=True, exist_ok=True)
    other = secrets.token_hex(4)
    node, link = loop_partitions.NODES / f"{other}-1", loop_partitions.LINKS / f"of-{other}"
    device = os.makedev(7, 7)
    os.mknod(node, stat.S_IFBLK | 0o600, device)
    try:
        link.symlink_to(node)
        path = write(tmp_path, changes("msdos"))
        assert main(["build", "--log", "-", "--partition-mapper", "loop", str(path)]) == 0
        assert os.stat(node).st_rdev == device and os.readlink(link) == str(node)
        assert loop_partitions.device_links(other) == [link, node]
        assert (
            loop_partitions.device_links(other[:-1])
            == loop_partitions.device_links(other[1:])
            == []
        )
    finally:
        loop_partitions.delete_device_links(other)
    assert loop_partitions.device_links(other) == []
