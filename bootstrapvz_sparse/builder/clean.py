"""``bvz-sparse clean``: remove what killed builds left in a workspace."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..util.temporary import stale
from . import leftovers, record

UNKNOWN = 0  # no folder has this inode


class Message(NamedTuple):
    """A line about a leftover. ``wrong``: it could not be removed; ``done``: it was removed."""

    text: str
    wrong: bool = False
    done: bool = False


def clean(workspace: Path, *, dry_run: bool = False) -> Iterator[Message]:
    """Remove the leftovers of dead builds from ``workspace``; yield a line for each.

    :raises OSError: the workspace cannot be read
    """
    workspace = workspace.resolve(strict=True)
    names = sorted(filter(record.NAME.fullmatch, os.listdir(workspace)))
    for name in names:
        yield from _clean(workspace / name, dry_run)
    if workspace.exists():
        yield from _temporaries(workspace, dry_run)
        yield from _without_record(workspace, names)


def _clean(path: Path, dry_run: bool) -> Iterator[Message]:
    """Remove the leftovers of the build with the record ``path``, if it is dead."""
    try:
        dead = record.take(path)
    except record.Running:
        yield Message(f"{path}: left alone: the build still runs")
        return
    except FileNotFoundError:  # another process has cleaned it
        return
    except (record.Invalid, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        yield Message(f"{path}: left alone: {reason}", wrong=True)
        return
    try:
        yield from _plan(dead) if dry_run else _undo(dead)
    finally:
        dead.close()


def _plan(dead: record.Record) -> Iterator[Message]:
    """Yield a line for each leftover that would be removed."""
    for leftover in leftovers.find_leftovers(dead.folder):
        yield Message(f"would {leftover.verb} {leftover.name}", done=True)
    yield Message(f"would delete {record.path_of(dead.folder)}", done=True)
    for folder in filter(os.path.exists, dead.new):
        yield Message(f"would delete {folder} if it is empty then", done=True)


def _undo(dead: record.Record) -> Iterator[Message]:
    """Remove the leftovers of a build; keep its record for the next run if something remains."""
    before = leftovers.find_leftovers(dead.folder)
    if dead.inode is None:  # the folder is empty, or not the build's
        with contextlib.suppress(OSError):
            dead.folder.rmdir()
    remaining = leftovers.undo(dead.folder, dead.inode or UNKNOWN)
    for leftover in before:
        if leftover not in remaining:
            yield Message(f"{leftover.past} {leftover.name}", done=True)
    for leftover in remaining:
        yield Message(leftover.failure(), wrong=True)
    if not remaining:
        yield from _temporaries(dead.folder.parent, dry_run=False)
        for deleted in (record.path_of(dead.folder), *dead.delete()):
            yield Message(f"deleted {deleted}", done=True)


def _temporaries(workspace: Path, dry_run: bool) -> Iterator[Message]:
    """Remove temporary files that no process uses any more."""
    for path in stale(workspace, remove=not dry_run):
        yield Message(f"{'would delete' if dry_run else 'deleted'} {path}", done=True)


def _without_record(workspace: Path, names: list[str]) -> Iterator[Message]:
    """Report folders in use that may belong to a build started by bootstrap-vz itself."""
    for folder in sorted(workspace.iterdir()):
        if record.path_of(folder).name in names or folder.is_symlink() or not folder.is_dir():
            continue
        used = [*leftovers.mounts(folder), *leftovers.loop_devices(folder)]
        if used:
            yield Message(f"{folder}: left alone: it has no record; in use: {used[0]}")
