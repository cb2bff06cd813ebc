"""The ledger of the build."""

from __future__ import annotations

import logging
from typing import Any

from bootstrapvz.base import Task
from bootstrapvz.common import phases
from bootstrapvz.common.tasks import workspace

from ..image.report import Ledger

log = logging.getLogger(__name__)


def ledger(info: Any) -> Ledger:
    """The ledger of this build, begun when it is first asked for."""
    # bootstrap-vz gives each plugin a dictionary, by the name of its module
    book: Ledger = info._bootstrapvz_sparse.setdefault("ledger", Ledger())
    return book


class Show(Task):
    """The last word of a build."""

    description = "What each stage left allocated"
    phase = phases.cleaning
    predecessors = [workspace.DeleteWorkspace]

    @classmethod
    def run(cls, info: Any) -> None:
        log.info("%s", ledger(info).table())
