from typing import Any

from bootstrapvz.base import Task
from bootstrapvz.common import phases
from bootstrapvz.common.tasks import volume
from bootstrapvz.common.tools import log_check_call

from bootstrapvz_sparse.plugin.tasks.sparsify import Sparsify


class KeepBefore(Task):
    description = "Keeping a copy of the image"
    phase = phases.volume_unmounting
    predecessors = [volume.Detach]
    successors = [Sparsify]

    @classmethod
    def run(cls, info: Any) -> None:
        copy = info.manifest.plugins["keep_before"]["copy"]
        log_check_call(["cp", "--reflink=never", info.volume.image_path, copy])
