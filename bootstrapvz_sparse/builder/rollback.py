"""Undo a failed build: its completed tasks, and the partial work of the failed one."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..util.signals import ENDING, handlers
from . import leftovers
from .record import Record

log = logging.getLogger(__name__)

FULL = 100  # a filesystem with less than one part in so many free is full


def roll_back(info: Any, completed: list[Any], record: Record) -> None:
    """Run the rollback tasks of the ``completed`` tasks; then remove everything else."""
    from bootstrapvz.base.tasklist import TaskList, load_tasks  # translated by upstream.install()

    log.error("Rolling back")
    workspace = Path(info.workspace)
    leftovers.end_processes(workspace, leftovers.SERVERS)
    if hasattr(info, "root"):  # unknown mounts keep bootstrap-vz from unmounting the known ones
        known = [os.path.join(info.root, point) for point in info.volume.partition_map.root.mounts]
        leftovers.unmount(Path(info.root), keep=[info.root, *known])
    try:
        tasks = load_tasks(
            "resolve_rollback_tasks", info.manifest, completed, _counter_task(completed)
        )
        TaskList(tasks).run(info=info, dry_run=False)
    except Exception as error:
        log.exception(error)
    remaining = leftovers.undo(workspace, record.inode)
    for leftover in remaining:
        log.error("%s", leftover.failure())
    if remaining:
        log.error("to try again: bvz-sparse clean %s", shlex.quote(str(workspace.parent)))
    else:
        record.delete()


def _counter_task(completed: list[Any]) -> Callable[[set[Any], Any, Any], None]:
    """Return bootstrap-vz's rule: each completed task is undone once."""

    def counter_task(taskset: set[Any], task: Any, counter: Any) -> None:
        if task in completed and counter not in completed:
            taskset.add(counter)

    return counter_task


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore signals: a second Ctrl-C would leave half of a rollback undone."""
    with handlers(signal.SIG_IGN, *ENDING):
        yield


def is_full(folder: str) -> bool:
    """Return whether the filesystem is full, which inside the image looks like any I/O error."""
    try:
        status = os.statvfs(folder)
    except OSError:
        return False
    return status.f_bavail * FULL < status.f_blocks
