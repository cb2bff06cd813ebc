"""Checks of whether other users may write a folder, or replace it by renaming a parent."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Collection
from pathlib import Path

OTHERS = stat.S_IWGRP | stat.S_IWOTH  # an ACL that lets others write shows as the group's bit


def unsafe_reason(
    folder: str | Path, trusted: Collection[int] = (), *, shared: bool = False
) -> str | None:
    """Return why other users can replace ``folder`` or its contents; None if they cannot.

    root, this process's user, the owner of ``/`` and the users with the ids ``trusted`` do not
    count as others. In folders with the sticky bit only owners can rename and delete, so parents
    may have it; so may ``folder`` itself if it is ``shared``, where added files do no harm.

    :raises OSError: a folder is missing or cannot be examined
    """
    # in a user namespace, the owner of the system's folders is not mapped
    owners = {0, os.geteuid(), os.stat("/").st_uid, *trusted}
    path = Path(os.path.realpath(folder))
    for place in (path, *path.parents):
        status = os.stat(place)
        if status.st_uid not in owners:
            return f"{place} belongs to {_user(status.st_uid)}"
        sticky = status.st_mode & stat.S_ISVTX and (shared or place != path)
        if status.st_mode & OTHERS and not sticky:
            return f"{place} is writable by other users (mode {stat.S_IMODE(status.st_mode):04o})"
    return None


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"
