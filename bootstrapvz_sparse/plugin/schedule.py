"""The tasks that the plugin adds to a build, and the tasks that they replace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bootstrapvz.common.tasks import image, loopback, volume
from bootstrapvz.plugins.prebootstrapped import tasks as prebootstrapped
from bootstrapvz.providers.gce.tasks import image as gce

from .. import __name__ as PLUGIN
from .backings import BACKINGS
from .settings import Settings
from .tasks import (
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


def add_tasks(taskset: set[Any], manifest: Any) -> None:
    """Add the plugin's tasks to ``taskset`` and remove the tasks that they replace."""
    settings = Settings.of(manifest.plugins)
    backing = BACKINGS[manifest.volume["backing"]]
    scheduled = _scheduled_without_us(taskset, manifest)
    replacements = {image.MoveImage: move.MoveSparse}
    if backing.loop:
        replacements[loopback.Create] = create.CreateSparse
    if not backing.format:
        replacements[gce.CreateTarball] = tarball.CreateTarball
    for theirs, ours in replacements.items():
        if theirs in scheduled:
            taskset.discard(theirs)
            taskset.add(ours)
    if tarball.CreateTarball in taskset:
        taskset.add(tarball.CheckImage)
    taskset.update([host.AddRequiredCommands, ledger.Begin, sparsify.Sparsify, ledger.Show])
    if settings.scratch:
        taskset.update([scratch.Bind, scratch.Unbind, scratch.Delete])
        if prebootstrapped.CopyImage in scheduled:
            taskset.add(scratch.Outline)
    if backing.loop and settings.reclaim in ("auto", "discard"):
        taskset.add(reclaim.EnableOnlineDiscard)
    if backing.loop and reclaim.kinds_to_discard(settings.reclaim, manifest.volume):
        taskset.add(reclaim.Discard)
    if settings.reclaim == "zerofree":
        taskset.add(reclaim.Zerofree)
    if settings.limit_allocated is not None:
        taskset.update([limit.Weigh, limit.Check])
    if settings.report is not None:
        taskset.add(ledger.CheckReport)


def _scheduled_without_us(taskset: set[Any], manifest: Any) -> set[Any]:
    """Return the tasks of the build without this plugin.

    bootstrap-vz asks plugins in the order of their keys in the manifest. A later one may remove a
    task that this plugin replaces, as ``prebootstrapped`` and ``vagrant`` do, so all are asked now.
    """
    scheduled = set(taskset)
    names = [plugin.__name__ for plugin in manifest.modules["plugins"]]
    for plugin in manifest.modules["plugins"][names.index(PLUGIN) + 1 :]:
        if hasattr(plugin, "resolve_tasks"):
            plugin.resolve_tasks(scheduled, manifest)
    return scheduled


def add_rollback_tasks(
    taskset: set[Any],
    completed: list[Any],
    counter_task: Callable[[set[Any], Any, Any], None],
) -> None:
    """Add the tasks that undo the plugin's own; bound folders are unmounted with the root.

    A finished image is never deleted because a later step fails.
    """
    counter_task(taskset, create.CreateSparse, volume.Delete)
    counter_task(taskset, scratch.Bind, scratch.Delete)
    if not keep.is_wanted():
        counter_task(taskset, tarball.CreateTarball, tarball.Delete)
    elif tarball.CreateTarball in completed:
        taskset.add(keep.KeepTarball)
    elif volume.Detach in completed and volume.Delete not in completed:
        taskset.discard(volume.Delete)
        taskset.add(keep.KeepImage)
