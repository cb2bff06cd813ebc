import os
from typing import Any

from bootstrapvz.base import Task
from bootstrapvz.common import phases
from bootstrapvz.common.tasks import workspace
from bootstrapvz.common.tools import log_check_call


class MountWorkspace(Task):
    description = "Mounting a workspace in memory"
    phase = phases.preparation
    successors = [workspace.CreateWorkspace]  # which is not run

    @classmethod
    def run(cls, info: Any) -> None:
        os.makedirs(info.workspace)
        log_check_call(["mount", "--types", "tmpfs", "none", info.workspace])


class UnmountWorkspace(Task):
    description = "Unmounting the workspace"
    phase = phases.cleaning
    predecessors = [workspace.DeleteWorkspace]  # which is not run

    @classmethod
    def run(cls, info: Any) -> None:
        log_check_call(["umount", info.workspace])
        os.rmdir(info.workspace)
