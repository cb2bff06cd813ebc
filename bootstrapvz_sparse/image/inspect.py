"""Where the bytes of an image are. Changes nothing and needs no more than to read it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from .access import opened
from .scan import Progress, Scan
from .survey import Plan, survey


class Inspection(NamedTuple):
    """An image: what it consists of, its sizes in ``plan.survey``; remarks."""

    path: Path
    plan: Plan
    notes: tuple[str, ...]


def inspect(path: Path, *, progress: Progress | None = None) -> Inspection:
    """Tell what the blocks of the image at ``path`` hold.

    :raises Refused: no regular file, empty, or not permitted
    :raises OSError: the image cannot be read
    """
    with opened(path, write=False) as image:
        os.fsync(image.fd)
        found = survey(image.fd, image.size)
        zero = Scan(found, progress)(image.fd)
        if found.table.trouble:
            image.notes.append(f"what is free cannot be told: {found.table.trouble}")
        for region in found.regions:
            if region.trouble:
                image.notes.append(
                    f"{region.partition}: what is free cannot be told: {region.trouble}"
                )
        return Inspection(
            path=image.path,
            plan=Plan(found, zero),
            notes=tuple(image.notes),
        )
