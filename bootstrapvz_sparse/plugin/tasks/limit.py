"""The budget of the image."""

from __future__ import annotations

import re
from typing import Any

from bootstrapvz.base import Task
from bootstrapvz.common import phases
from bootstrapvz.common.tasks import filesystem, volume
from bootstrapvz.common.tools import log_check_call

from ...util.text import human
from ..settings import Settings
from .ledger import above_limit, ledger
from .reclaim import Discard
from .sparsify import Sparsify

NAMED = 5  # folders, in the message


class Weigh(Task):
    """What would have to shrink: known only while it is mounted."""

    description = "Weighing the folders of the image"
    phase = phases.volume_unmounting
    successors = [Discard, filesystem.UnmountRoot]

    @classmethod
    def run(cls, info: Any) -> None:
        options = ["--one-file-system", "--block-size=1", "--max-depth=3"]
        sizes = {}
        for line in log_check_call(["du", *options, info.root]):
            size, path = re.split(r"\s+", line, maxsplit=1)
            sizes[path.removeprefix(info.root) or "/"] = int(size)
        leaves = [p for p in sizes if not any(q.startswith(f"{p.rstrip('/')}/") for q in sizes)]
        heaviest = sorted(leaves, key=sizes.__getitem__, reverse=True)[:NAMED]
        info._bootstrapvz_sparse["heaviest"] = {path: sizes[path] for path in heaviest}


class Check(Task):
    """Fails the build, before the image goes anywhere."""

    description = "Checking the limit"
    phase = phases.volume_unmounting
    predecessors = [volume.Detach, Sparsify]

    @classmethod
    def run(cls, info: Any) -> None:
        limit = Settings.of(info.manifest.plugins).limit_allocated
        assert limit is not None
        book = ledger(info)
        book.limits["allocated"], now = limit, book.entries[-1].allocated
        if now <= limit:
            return
        heaviest = info._bootstrapvz_sparse["heaviest"]
        largest = ", ".join(f"{path} {human(size)}" for path, size in heaviest.items())
        above_limit(
            info,
            f"plugins.sparse.limit.allocated: the image has {human(now)} allocated, "
            f"{human(now - limit)} more than {human(limit)}; its largest folders: {largest}",
        )
