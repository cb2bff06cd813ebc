"""The ``tmpfs_workspace`` plugin of the maintained fork, which 0.9.11 lacks, for tests."""

from typing import Any


def resolve_tasks(taskset: set[Any], manifest: Any) -> None:
    from bootstrapvz.common.tasks import workspace

    from . import tasks

    taskset -= {workspace.CreateWorkspace, workspace.DeleteWorkspace}
    taskset |= {tasks.MountWorkspace, tasks.UnmountWorkspace}


def resolve_rollback_tasks(
    taskset: set[Any], manifest: Any, completed: list[Any], counter_task: Any
) -> None:
    from . import tasks

    counter_task(taskset, tasks.MountWorkspace, tasks.UnmountWorkspace)
