"""Our tasks among those of each provider: which are replaced, which are added, and their order."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bootstrapvz_sparse import upstream

upstream.install()

from bootstrapvz.base.bootstrapinfo import BootstrapInformation  # noqa: E402
from bootstrapvz.base.manifest import Manifest  # noqa: E402
from bootstrapvz.base.tasklist import TaskList, load_tasks  # noqa: E402
from bootstrapvz.common.exceptions import ManifestError  # noqa: E402
from bootstrapvz.common.tasks import (  # noqa: E402
    apt,
    bootstrap,
    cleanup,
    filesystem,
    image,
    loopback,
    packages,
    partitioning,
    volume,
    workspace,
)
from bootstrapvz.common.tasks import host as upstream_host  # noqa: E402
from bootstrapvz.providers.gce.tasks import image as gce  # noqa: E402

from bootstrapvz_sparse.plugin.tasks import (  # noqa: E402
    create,
    host,
    keep,
    ledger,
    limit,
    move,
    reclaim,
    scratch,
    sparsify,
    tarball,
)
from tests.support.manifests import SMALL  # noqa: E402

TESTS = Path(__file__).parent.parent
EXAMPLES = TESTS.parent / "manifests"
PROVIDERS = TESTS / "upstream" / "manifests"

ALWAYS = {host.AddRequiredCommands, ledger.Begin, sparsify.Sparsify, ledger.Show}
SCRATCH = {scratch.Bind, scratch.Unbind, scratch.Delete}
RAW = {create.CreateSparse, reclaim.EnableOnlineDiscard}
BY_DEFAULT = ALWAYS | SCRATCH | RAW | {move.MoveSparse}
REPLACED = {loopback.Create, image.MoveImage}


@pytest.fixture(autouse=True)
def plugins_of_the_tests(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(TESTS / "support" / "plugins"))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "tmpfs_workspace"]:
        del sys.modules[name]


def scheduled(data: dict[str, Any]) -> list[Any]:
    """The tasks of a manifest in the order in which they would be run."""
    manifest = Manifest(data=data)
    tasklist = TaskList(load_tasks("resolve_tasks", manifest))
    tasklist.run(info=BootstrapInformation(manifest=manifest), dry_run=True)
    completed: list[Any] = tasklist.tasks_completed
    return completed


def changed_by(data: dict[str, Any], block: Any) -> tuple[set[Any], set[Any], list[Any]]:
    """The tasks that the block adds to those of the manifest and takes out; and all, in order."""
    without = copy.deepcopy(data)
    without.get("plugins", {}).pop("sparse", None)
    with_block = copy.deepcopy(data)
    with_block.setdefault("plugins", {})["sparse"] = block
    before, after = scheduled(without), scheduled(with_block)
    return set(after) - set(before), set(before) - set(after), after


@pytest.mark.parametrize(
    ("provider", "added", "removed"),
    [
        ("kvm", BY_DEFAULT, REPLACED),
        ("kvm-msdos", BY_DEFAULT, REPLACED),
        ("kvm-gpt", BY_DEFAULT, REPLACED),
        (
            "gce",
            BY_DEFAULT | {tarball.CheckImage, tarball.CreateTarball},
            REPLACED | {gce.CreateTarball},
        ),
        ("oracle", BY_DEFAULT, REPLACED),
        # nothing is moved: the image is bundled where it is
        ("ec2-s3", ALWAYS | SCRATCH | RAW, {loopback.Create}),
        # of these formats only qemu-img can create a volume
        ("azure", ALWAYS | SCRATCH | {move.MoveSparse}, {image.MoveImage}),
        ("virtualbox", ALWAYS | SCRATCH, set()),  # vagrant packs the image where it is
    ],
)
def test_providers(provider: str, added: set[Any], removed: set[Any]) -> None:
    data = yaml.safe_load((PROVIDERS / f"{provider}.yml").read_text())
    data.get("plugins", {}).get("minimize_size", {}).pop("zerofree", None)  # ours does it
    assert changed_by(data, {})[:2] == (added, removed)
    in_order(changed_by(data, {})[2])


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yml")), ids=lambda path: path.stem)
def test_examples(path: Path) -> None:
    tasks = scheduled(yaml.safe_load(path.read_text()))
    in_order(tasks)
    assert sparsify.Sparsify in tasks


@pytest.mark.parametrize("provider", ["docker", "ec2-ebs"])
def test_providers_without_an_image_file(provider: str) -> None:
    data = yaml.safe_load((PROVIDERS / f"{provider}.yml").read_text())
    scheduled(copy.deepcopy(data))
    data.setdefault("plugins", {})["sparse"] = {}
    with pytest.raises(ManifestError, match="the sparse plugin needs a file-backed volume"):
        scheduled(data)


def in_order(tasks: list[Any]) -> None:
    """Each pair that is there is in this order."""
    for first, second in PAIRS:
        if first in tasks and second in tasks:
            assert tasks.index(first) < tasks.index(second), (first, second)


PAIRS = [
    (loopback.AddRequiredCommands, host.AddRequiredCommands),
    (host.AddRequiredCommands, upstream_host.CheckExternalCommands),
    (create.CreateSparse, volume.Attach),
    (volume.Attach, ledger.Begin),
    (filesystem.MountRoot, reclaim.EnableOnlineDiscard),
    (reclaim.EnableOnlineDiscard, filesystem.CreateBootMountDir),
    (reclaim.EnableOnlineDiscard, scratch.Bind),
    (filesystem.MountBoot, scratch.Bind),
    (scratch.Bind, bootstrap.Bootstrap),
    (apt.AptClean, scratch.Unbind),
    (cleanup.CleanTMP, scratch.Unbind),
    (scratch.Unbind, filesystem.UnmountRoot),
    (limit.Weigh, filesystem.UnmountRoot),
    (reclaim.Discard, filesystem.UnmountRoot),
    (filesystem.UnmountRoot, reclaim.Zerofree),
    (reclaim.Zerofree, partitioning.UnmapPartitions),
    (reclaim.Zerofree, volume.Detach),
    (volume.Detach, sparsify.Sparsify),
    (sparsify.Sparsify, limit.Check),
    (limit.Check, move.MoveSparse),
    (move.MoveSparse, tarball.CreateTarball),
    (tarball.CreateTarball, gce.UploadImage),
    (gce.UploadImage, gce.RegisterImage),
    (scratch.Delete, workspace.DeleteWorkspace),
    (workspace.DeleteWorkspace, ledger.Show),
]


def test_declared_edges() -> None:
    """An order that comes out right by luck is no order."""
    for task, others in {
        host.AddRequiredCommands: {upstream_host.CheckExternalCommands},
        create.CreateSparse: {loopback.Create},  # with all that come after it
        reclaim.EnableOnlineDiscard: {filesystem.CreateBootMountDir},
        reclaim.Discard: {filesystem.UnmountRoot},
        reclaim.Zerofree: {partitioning.UnmapPartitions, volume.Detach},
        limit.Weigh: {reclaim.Discard, filesystem.UnmountRoot},
        move.MoveSparse: {image.MoveImage},
        tarball.CreateTarball: {gce.CreateTarball},
        scratch.Delete: {workspace.DeleteWorkspace},
        keep.KeepImage: {volume.Delete, workspace.DeleteWorkspace},
        keep.KeepTarball: {workspace.DeleteWorkspace},
    }.items():
        assert set(task.successors) == others
    for task, others in {
        host.AddRequiredCommands: {loopback.AddRequiredCommands},
        ledger.Begin: {volume.Attach},
        reclaim.EnableOnlineDiscard: {filesystem.MountRoot},
        scratch.Bind: {filesystem.MountRoot, filesystem.MountBoot, reclaim.EnableOnlineDiscard},
        scratch.Unbind: {apt.AptClean, apt.PurgeUnusedPackages, cleanup.CleanTMP},
        reclaim.Discard: {filesystem.RemoveMountTable},
        reclaim.Zerofree: {filesystem.UnmountRoot},
        sparsify.Sparsify: {volume.Detach},
        limit.Check: {volume.Detach, sparsify.Sparsify},
        tarball.CreateTarball: {image.MoveImage, move.MoveSparse},
        ledger.Show: {workspace.DeleteWorkspace},
    }.items():
        assert set(task.predecessors) == others


@pytest.mark.parametrize(
    ("block", "more", "less"),
    [
        ({"reclaim": "metadata"}, set(), {reclaim.EnableOnlineDiscard}),
        ({"reclaim": "none"}, set(), {reclaim.EnableOnlineDiscard}),
        ({"reclaim": "discard"}, {reclaim.Discard}, set()),
        ({"reclaim": "zerofree"}, {reclaim.Zerofree}, {reclaim.EnableOnlineDiscard}),
        ({"sparsify": "none"}, set(), set()),  # still measured
        ({"scratch": False}, set(), SCRATCH),
        ({"scratch": []}, set(), SCRATCH),
        ({"limit": {"allocated": "1GiB"}}, {limit.Weigh, limit.Check}, set()),
        ({"report": "x.json"}, {ledger.CheckReport}, set()),
        (
            {"reclaim": "discard", "limit": {"allocated": "1GiB"}, "report": "x"},
            {reclaim.Discard, limit.Weigh, limit.Check, ledger.CheckReport},
            set(),
        ),
    ],
)
def test_settings(block: dict[str, Any], more: set[Any], less: set[Any]) -> None:
    added, removed, tasks = changed_by(SMALL, block)
    assert (added, removed) == ((BY_DEFAULT | more) - less, REPLACED)
    in_order(tasks)
    assert tasks[-1] is ledger.Show


OTHERS: dict[str, tuple[dict[str, Any], set[Any], set[Any]]] = {
    "minimize_size": ({"apt": {"autoclean": True}}, BY_DEFAULT, REPLACED),
    "tmpfs_workspace": ({}, BY_DEFAULT, REPLACED),
    "commands": ({"commands": [["true"]]}, BY_DEFAULT, REPLACED),
    # it copies an image in place of creating a volume, and has taken loopback.Create out itself
    "prebootstrapped": ({"image": "/x"}, BY_DEFAULT - {create.CreateSparse}, {image.MoveImage}),
}


@pytest.mark.parametrize("sparse_first", [True, False])
@pytest.mark.parametrize("name", OTHERS)
def test_beside_other_plugins(name: str, sparse_first: bool) -> None:
    block, added, removed = OTHERS[name]
    data = copy.deepcopy(SMALL)
    blocks: list[tuple[str, Any]] = [("sparse", {}), (name, block)]
    data["plugins"] = dict(blocks if sparse_first else blocks[::-1])
    without = copy.deepcopy(data)
    del without["plugins"]["sparse"]
    before, tasks = scheduled(without), scheduled(data)
    assert set(tasks) - set(before) == added
    assert set(before) - set(tasks) == removed
    in_order(tasks)
    assert tasks[-1] is ledger.Show or "tmpfs" in repr(tasks[-1])


@pytest.mark.parametrize("sparse_first", [True, False])
def test_a_copy_is_kept_to_go_on_from(sparse_first: bool) -> None:
    from bootstrapvz.plugins.prebootstrapped.tasks import CopyImage

    data = copy.deepcopy(SMALL)
    names = ["sparse", "prebootstrapped"]
    data["plugins"] = {name: {} for name in (names if sparse_first else names[::-1])}
    tasks = scheduled(data)
    order = [packages.InstallPackages, scratch.Outline, CopyImage, scratch.Unbind]
    assert sorted(order, key=tasks.index) == order


@pytest.mark.parametrize("sparse_first", [True, False])
def test_beside_vagrant(sparse_first: bool) -> None:
    data = yaml.safe_load((PROVIDERS / "virtualbox.yml").read_text())
    others = data["plugins"]
    data["plugins"] = {"sparse": {}, **others} if sparse_first else {**others, "sparse": {}}
    tasks = scheduled(data)
    assert move.MoveSparse not in tasks and image.MoveImage not in tasks
    [package] = [task for task in tasks if task.__name__ == "PackageBox"]
    assert tasks.index(sparsify.Sparsify) < tasks.index(package)


@pytest.mark.parametrize("sparse_first", [True, False])
def test_folders_of_minimize_size_are_bound_over_ours(sparse_first: bool) -> None:
    from bootstrapvz.plugins.minimize_size.tasks import mounts

    data = copy.deepcopy(SMALL)
    names = ["sparse", "minimize_size"]
    data["plugins"] = {name: {} for name in (names if sparse_first else names[::-1])}
    tasks = scheduled(data)
    order = [scratch.Bind, mounts.AddFolderMounts, mounts.RemoveFolderMounts, apt.AptClean]
    order += [scratch.Unbind]
    assert sorted(order, key=tasks.index) == order
