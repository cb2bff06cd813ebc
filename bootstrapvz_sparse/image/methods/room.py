"""Checks of space and permission for a second file beside the image."""

from __future__ import annotations

import os
import shutil

from ...util.text import human
from ..access import Image
from ..extents import allocated, total
from .job import Job


def copy_size(job: Job) -> int:
    """Return the maximum size of a sparse copy in bytes."""
    # if holes are not reported, the whole image counts as data
    return min(total(job.survey.to_read), allocated(os.fstat(job.image.fd)))


def no_holes(job: Job) -> str:
    """Return why the folder cannot hold a sparse file; "" if it can."""
    return "" if job.capabilities.sparse else "the build filesystem does not support sparse files"


def no_room(image: Image, needed: int) -> str:
    """Return why the folder cannot hold a second file of ``needed`` bytes; "" if it can."""
    status = os.fstat(image.fd)
    if status.st_nlink > 1:
        return f"the image has {status.st_nlink} hard links, and only one would be replaced"
    if os.geteuid() not in (0, status.st_uid):
        return "the image belongs to another user, and a second file would not"
    free = shutil.disk_usage(image.path.parent).free
    if needed > free:
        return f"a second file needs up to {human(needed)}, but only {human(free)} are free"
    return ""
