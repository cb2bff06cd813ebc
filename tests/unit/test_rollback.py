"""The tasks that undo a failed build: what they delete, and when they keep the image."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from bootstrapvz_sparse import upstream

upstream.install()

from bootstrapvz.base.manifest import Manifest  # noqa: E402
from bootstrapvz.base.tasklist import load_tasks  # noqa: E402
from bootstrapvz.common.tasks import volume  # noqa: E402

from bootstrapvz_sparse.plugin.tasks import (  # noqa: E402
    create,
    keep,
    move,
    scratch,
    sparsify,
    tarball,
)
from bootstrapvz_sparse.util.errors import VerificationFailed  # noqa: E402
from tests.support.manifests import SMALL  # noqa: E402

DETACHED = [create.CreateSparse, volume.Attach, volume.Detach]
KEPT = {keep.KeepImage}


def test_rollback() -> None:
    manifest = Manifest(data=copy.deepcopy(SMALL))
    for completed, expected in (
        (DETACHED, KEPT),
        ([*DETACHED, sparsify.Sparsify, move.MoveSparse], KEPT),
        ([*DETACHED, tarball.CreateTarball], {volume.Delete, keep.KeepTarball}),
        ([*DETACHED, tarball.CreateTarball, volume.Delete], {keep.KeepTarball}),
        ([*DETACHED, volume.Delete], set()),
        ([create.CreateSparse], {volume.Delete}),
        ([create.CreateSparse, volume.Attach], {volume.Delete, volume.Detach}),
        ([create.CreateSparse, volume.Delete], set()),
        ([scratch.Bind], {scratch.Delete}),
        ([scratch.Bind, scratch.Unbind], {scratch.Delete}),
        ([scratch.Bind, scratch.Delete], set()),
        ([], set()),
    ):

        def counter_task(tasks: set[Any], task: Any, counter: Any, done: Any = completed) -> None:
            if task in done and counter not in done:
                tasks.add(counter)

        tasks = load_tasks("resolve_rollback_tasks", manifest, completed, counter_task)
        assert tasks == expected


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), VerificationFailed(), keep.OverLimit("too large")], ids=repr
)
def test_rollback_of_an_image_that_is_not_wanted(error: BaseException) -> None:
    """It was interrupted, found to be wrong, or too large."""
    manifest = Manifest(data=copy.deepcopy(SMALL))
    completed = [*DETACHED, tarball.CreateTarball]

    def counter_task(tasks: set[Any], task: Any, counter: Any) -> None:
        if task in completed and counter not in completed:
            tasks.add(counter)

    try:
        raise error
    except BaseException:
        tasks = load_tasks("resolve_rollback_tasks", manifest, completed, counter_task)
    assert tasks == {volume.Delete, tarball.Delete}
