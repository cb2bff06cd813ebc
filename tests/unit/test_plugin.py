"""The plugin's tasks in bootstrap-vz's graph, and what its parts say."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import bootstrapvz_sparse
from bootstrapvz_sparse import upstream
from bootstrapvz_sparse.image.report import Ledger, human
from bootstrapvz_sparse.settings import Settings

upstream.install()

from bootstrapvz.base.bootstrapinfo import BootstrapInformation  # noqa: E402
from bootstrapvz.base.manifest import Manifest  # noqa: E402
from bootstrapvz.base.tasklist import TaskList, load_tasks  # noqa: E402
from bootstrapvz.common.tasks import loopback, volume, workspace  # noqa: E402

from bootstrapvz_sparse.tasks import create, ledger, sparsify  # noqa: E402
from tests.manifests import write  # noqa: E402


def manifest_with(folder: Path, changes: dict[str, Any]) -> Any:
    return Manifest(path=str(write(folder, changes)))


def scheduled(manifest: Any) -> list[Any]:
    tasklist = TaskList(load_tasks("resolve_tasks", manifest))
    tasklist.run(info=BootstrapInformation(manifest=manifest), dry_run=True)
    completed: list[Any] = tasklist.tasks_completed
    return completed


def test_tasks_with_the_block_and_without(tmp_path: Path) -> None:
    without = set(scheduled(manifest_with(tmp_path, {"plugins": {}})))
    with_block = scheduled(manifest_with(tmp_path, {}))
    added = {create.CreateSparse, sparsify.Sparsify, ledger.Show}
    assert set(with_block) == without - {loopback.Create} | added
    order = [create.CreateSparse, volume.Attach, volume.Detach, sparsify.Sparsify]
    order += [workspace.DeleteWorkspace, ledger.Show]
    assert sorted(order, key=with_block.index) == order
    assert with_block[-1] is ledger.Show


def test_declared_edges() -> None:
    assert volume.Attach in create.CreateSparse.successors
    assert volume.Detach in sparsify.Sparsify.predecessors
    assert workspace.DeleteWorkspace in ledger.Show.predecessors


@pytest.mark.parametrize("order", [["sparse", "prebootstrapped"], ["prebootstrapped", "sparse"]])
def test_a_copied_image_is_not_created(tmp_path: Path, order: list[str]) -> None:
    blocks: dict[str, dict[str, str]] = {"sparse": {}, "prebootstrapped": {"image": "/x"}}
    manifest = manifest_with(tmp_path, {"plugins": {}})
    manifest.plugins = {name: blocks[name] for name in order}
    from bootstrapvz.plugins import prebootstrapped

    modules = {"sparse": bootstrapvz_sparse, "prebootstrapped": prebootstrapped}
    manifest.modules["plugins"] = [modules[name] for name in order]
    tasks = scheduled(manifest)
    assert create.CreateSparse not in tasks
    assert loopback.Create not in tasks
    assert sparsify.Sparsify in tasks


def test_rollback_deletes_the_volume(tmp_path: Path) -> None:
    manifest = manifest_with(tmp_path, {})
    for completed, expected in (
        ([create.CreateSparse], {volume.Delete}),
        ([create.CreateSparse, volume.Attach], {volume.Delete, volume.Detach}),
        ([create.CreateSparse, volume.Delete], set()),
        ([], set()),
    ):

        def counter_task(tasks: set[Any], task: Any, counter: Any, done: Any = completed) -> None:
            if task in done and counter not in done:
                tasks.add(counter)

        tasks = load_tasks("resolve_rollback_tasks", manifest, completed, counter_task)
        assert tasks == expected


def volume_of(size: int, make: Any) -> SimpleNamespace:
    sizes = SimpleNamespace(bytes=size)
    return SimpleNamespace(extension="raw", size=sizes, create=make)


def test_created_sparse(tmp_path: Path) -> None:
    info = SimpleNamespace(workspace=str(tmp_path), _bootstrapvz_sparse={})
    info.volume = volume_of(1 << 30, lambda path: os.truncate(path, 1 << 30))
    create.CreateSparse.run(info)
    status = os.stat(tmp_path / "volume.raw")
    assert (status.st_size, status.st_blocks) == (1 << 30, 0)
    [entry] = ledger.ledger(info).entries
    assert (entry.stage, entry.apparent, entry.allocated) == ("created", 1 << 30, 0)


def test_never_created_over_a_file(tmp_path: Path) -> None:
    (tmp_path / "volume.raw").write_text("somebody's")
    info = SimpleNamespace(workspace=str(tmp_path), _bootstrapvz_sparse={})
    info.volume = volume_of(1 << 30, lambda path: os.truncate(path, 1 << 30))
    with pytest.raises(FileExistsError):
        create.CreateSparse.run(info)
    assert (tmp_path / "volume.raw").read_text() == "somebody's"


@pytest.mark.parametrize("content", [b"x" * 8192, b"x" * 100])
def test_a_volume_that_is_not_sparse_is_refused(tmp_path: Path, content: bytes) -> None:
    info = SimpleNamespace(workspace=str(tmp_path), _bootstrapvz_sparse={})

    def fill(path: str) -> None:
        Path(path).write_bytes(content)
        with open(path, "rb") as file:
            os.fsync(file.fileno())

    info.volume = volume_of(8192, fill)
    with pytest.raises(Exception, match="was created with"):
        create.CreateSparse.run(info)
    assert list(tmp_path.iterdir()) == []


def test_settings() -> None:
    assert Settings.of({"sparse": {}}) == Settings(reclaim="auto", sparsify="auto")
    assert Settings.of({"sparse": {"reclaim": "none"}}).reclaim == "none"


def test_schema_and_settings_agree() -> None:
    import dataclasses

    import yaml

    schema = yaml.safe_load(bootstrapvz_sparse.SCHEMA.read_text())
    keys = schema["properties"]["plugins"]["properties"]["sparse"]["properties"]
    assert set(keys) == {field.name for field in dataclasses.fields(Settings)}
    for name, key in keys.items():
        assert key["title"] and key["description"]
        assert Settings().__dict__[name] == key["enum"][0]


def test_ledger(tmp_path: Path) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(3 << 20)
    book = Ledger()
    book.measure("created", image)
    with image.open("r+b") as file:
        file.write(b"x" * (1 << 20))
        os.fsync(file.fileno())
    book.measure("built", image)
    book.notes.append("a remark")
    head, created, built, note = book.table().splitlines()
    assert head.split() == ["stage", "apparent", "allocated", "seconds"]
    assert created.split() == ["created", "3.0", "MiB", "0", "B", "0.0"]
    assert built.split() == ["built", "3.0", "MiB", "1.0", "MiB", "0.0"]
    assert note == "a remark"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (741 << 20, "741.0 MiB"),
        (5 << 40, "5.0 TiB"),
    ],
)
def test_human(size: int, text: str) -> None:
    assert human(size) == text
