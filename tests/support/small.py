"""Small builds: real mkfs, loop devices and mounts, and fakes for debootstrap and chroot."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any

from bootstrapvz.base.bootstrapinfo import BootstrapInformation
from bootstrapvz.base.manifest import Manifest
from bootstrapvz.base.tasklist import TaskList, load_tasks

from bootstrapvz_sparse.builder import leftovers
from tests.support.manifests import SMALL
from tests.support.mounting import run


class Failure(Exception):
    pass


def tasks_of(changes: dict[str, Any]) -> list[Any]:
    """All tasks of a small build, in their order; ``changes`` are by dotted path."""
    data = copy.deepcopy(SMALL)
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = data
        for key in parents:
            place = place[key]
        place[last] = value
    manifest = Manifest(data=data)
    tasklist = TaskList(load_tasks("resolve_tasks", manifest))
    tasklist.run(info=BootstrapInformation(manifest=manifest), dry_run=True)
    completed: list[Any] = tasklist.tasks_completed
    return completed


def kept_image(folder: Path) -> Path:
    """Return the only file of a build that failed after its volume was detached."""
    assert leftovers.mounts(folder) == [] and leftovers.loop_devices(folder) == []
    [image] = (folder / "images").iterdir()
    run("e2fsck", "-fn", image)
    return image


def nothing_is_left(folder: Path) -> None:
    images = folder / "images"
    assert leftovers.mounts(folder) == []
    deadline = time.monotonic() + 10  # the kernel detaches a device once its last reader is done
    while leftovers.loop_devices(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert leftovers.loop_devices(folder) == []
    assert not images.exists() or list(images.iterdir()) == []
