"""A bootstrap-vz plugin for tests: keeps a copy of the image as it is before it is sparsified."""

from typing import Any


def resolve_tasks(taskset: set[Any], manifest: Any) -> None:
    from .tasks import KeepBefore

    taskset.add(KeepBefore)
