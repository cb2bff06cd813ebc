"""Check the disk space of the image against its limit."""

from __future__ import annotations

import os

from bootstrapvz.base import Task
from bootstrapvz.common import phases
from bootstrapvz.common.tasks import filesystem, volume

from ...util import programs
from ...util.text import human, printable
from .. import context
from ..context import Info
from .ledger import above_limit
from .reclaim import Discard
from .sparsify import Sparsify

MAX_NAMED_FOLDERS = 5  # in the message


class Weigh(Task):
    """Find the largest folders for the error message, while the image is mounted."""

    description = "Measuring the folders of the image"
    phase = phases.volume_unmounting
    successors = [Discard, filesystem.UnmountRoot]

    @classmethod
    def run(cls, info: Info) -> None:
        options = ["--null", "--one-file-system", "--block-size=1", "--max-depth=3"]
        # needed only for the message: files may vanish meanwhile
        result = programs.run("du", *options, "--", info.root, check=False)
        context.state(info).folder_sizes = _largest(result.stdout, info.root)


def _largest(output: str, root: str) -> dict[str, int]:
    """Return the sizes of the largest folders without listed subfolders, from the output of du.

    Paths begin at ``root``; a name may have any byte except NUL.
    """
    sizes = {}
    for entry in filter(None, output.split("\0")):
        size, path = entry.split("\t", 1)
        sizes[path[len(root) :] or "/"] = int(size)
    parents = {os.path.dirname(path) for path in sizes if path != "/"}
    leaves = sorted(sizes.keys() - parents, key=lambda path: (-sizes[path], path))
    return {path: sizes[path] for path in leaves[:MAX_NAMED_FOLDERS]}


class Check(Task):
    """Fail the build if the image is too large, before it is moved, packed or uploaded."""

    description = "Checking the limit"
    phase = phases.volume_unmounting
    predecessors = [volume.Detach, Sparsify]

    @classmethod
    def run(cls, info: Info) -> None:
        limit = context.settings(info).limit_allocated
        assert limit is not None
        state = context.state(info)
        state.ledger.limits["allocated"], now = limit, state.ledger.entries[-1].allocated
        if now <= limit:
            return
        sizes = state.folder_sizes.items()
        largest = ", ".join(f"{printable(path)} {human(size)}" for path, size in sizes)
        above_limit(
            info,
            f"plugins.sparse.limit.allocated: the image occupies {human(now)}, "
            f"{human(now - limit)} more than {human(limit)}; largest folders: {largest}",
        )
