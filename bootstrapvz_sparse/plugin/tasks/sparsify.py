"""Make the detached volume sparse again."""

from __future__ import annotations

import logging
from pathlib import Path

from bootstrapvz.base import Task
from bootstrapvz.common import phases
from bootstrapvz.common.tasks import volume

from ...image.api import sparsify
from ...image.convert import convert
from ...image.reclaim import left_alone
from ...util import loop
from ...util.errors import ImageInUse, Unsupported
from ...util.holders import used_by
from .. import context
from ..context import Info
from .ledger import warn

log = logging.getLogger(__name__)

BEFORE_DETACHING = ("discard", "zerofree")  # values of reclaim with tasks of their own


class Sparsify(Task):
    """Turn zeros and blocks that the filesystems do not use into holes."""

    description = "Making the volume sparse"
    phase = phases.volume_unmounting
    predecessors = [volume.Detach]

    @classmethod
    def run(cls, info: Info) -> None:
        settings, state = context.settings(info), context.state(info)
        if state.peak:
            state.peak.stop()
            state.ledger.peak = state.peak.bytes
        state.ledger.measure("built", Path(info.volume.image_path))
        reclaim = "none" if settings.reclaim in BEFORE_DETACHING else settings.reclaim
        if settings.sparsify != "none" or not (reclaim == "none" or context.backing(info).format):
            _make_sparse(info, reclaim)
        state.finished = True


def _make_sparse(info: Info, reclaim: str) -> None:
    """Make the volume sparse if possible, and measure it."""
    image = Path(info.volume.image_path)
    _wait_until_detached(image)
    try:
        method, notes = _convert(info, reclaim) or _sparsify(info, reclaim)
    except Unsupported as reason:
        warn(info, f"not made sparse: {reason}")
        return
    for note in notes:
        warn(info, note)
    context.state(info).ledger.measure("sparsified", image, method=method)


def _wait_until_detached(image: Path) -> None:
    """Wait until the loop device is detached: a program of the host may still be reading it.

    :raises ImageInUse: the device stays attached for too long
    """
    loop.wait_until_detached(image.stat())
    if devices := loop.devices(image.stat()):
        raise ImageInUse(
            f"{image}: still attached to {devices[0]}{used_by(devices[0])} (end that program)"
        )


def _sparsify(info: Info, reclaim: str) -> tuple[str, tuple[str, ...]]:
    """Make a raw volume sparse; return the method and notes."""
    settings = context.settings(info)
    report = sparsify(
        Path(info.volume.image_path),
        method=settings.sparsify,
        reclaim=reclaim,
        min_hole=settings.min_hole,
        command=settings.sparsify_command,
        verify=settings.verify,
    )
    notes = list(report.notes)
    for region in report.plan.survey.regions:
        kind = region.partition.filesystem
        if kind in context.state(info).discarded:
            log.info("%s: the kernel discarded the free blocks of %s", region.partition, kind)
            if not region.guarded and (note := left_alone(region)) in notes:
                notes.remove(note)
        elif reclaim != "none" and kind and not region.skip_reason:  # skipped ones have a note
            log.info("%s: freed the unused blocks of %s", region.partition, kind)
    context.state(info).ledger.verified += report.verified
    return report.method, tuple(notes)


def _convert(info: Info, reclaim: str) -> tuple[str, tuple[str, ...]] | None:
    """Make a volume of another format sparse; return the method and notes. None if it is raw."""
    format = context.backing(info).format
    if not format:
        return None
    log.info("%s: converting to raw and back, since only raw images can be punched", format)
    image = Path(info.volume.image_path)
    converted = convert(image, format, reclaim=reclaim, verify=context.settings(info).verify)
    context.state(info).ledger.verified += converted.verified
    return "qemu-img", converted.notes
