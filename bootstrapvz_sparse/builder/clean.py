"""``bvz-sparse clean``: undo what builds that were killed have left in a workspace."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..util.temporary import stale
from . import leftovers, record


class Said(NamedTuple):
    """A line on what was found; ``wrong``: it could not be undone; ``done``: it was."""

    text: str
    wrong: bool = False
    done: bool = False


def clean(workspace: Path, *, dry_run: bool = False) -> Iterator[Said]:
    """Undo what each dead build in ``workspace`` left, a line for each thing.

    :raises OSError: the workspace cannot be read
    """
    workspace = workspace.resolve(strict=True)
    names = sorted(filter(record.NAME.fullmatch, os.listdir(workspace)))
    for name in names:
        yield from _clean(workspace / name, dry_run)
    if workspace.exists():
        yield from _temporaries(workspace, dry_run)
        yield from _without_record(workspace, names)


def _clean(path: Path, dry_run: bool) -> Iterator[Said]:
    """Undo what the build with the record ``path`` left, if it is dead."""
    try:
        of = record.take(path)
    except record.Running:
        yield Said(f"{path}: left alone: the build still runs")
        return
    except FileNotFoundError:  # another one has cleaned it
        return
    except (record.Invalid, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        yield Said(f"{path}: left alone: {reason}", wrong=True)
        return
    try:
        yield from _plan(of) if dry_run else _undo(of)
    finally:
        of.close()


def _plan(of: record.Record) -> Iterator[Said]:
    for leftover in leftovers.found(of.folder):
        yield Said(f"would {leftover.verb} {leftover.name}", done=True)
    yield Said(f"would delete {record.path_of(of.folder)}", done=True)
    for folder in filter(os.path.exists, of.new):
        yield Said(f"would delete {folder} if it is empty then", done=True)


def _undo(of: record.Record) -> Iterator[Said]:
    before = leftovers.found(of.folder)
    left = leftovers.undo(of.folder)
    for leftover in before:
        if leftover not in left:
            yield Said(f"{leftover.past} {leftover.name}", done=True)
    for leftover in left:
        yield Said(f"{leftover.name} {leftover.still}", wrong=True)
    if not left:  # or it is for the next time
        yield from _temporaries(of.folder.parent, dry_run=False)
        for deleted in (record.path_of(of.folder), *of.delete()):
            yield Said(f"deleted {deleted}", done=True)


def _temporaries(workspace: Path, dry_run: bool) -> Iterator[Said]:
    """Those that no program holds any more, whose ever they were."""
    for path in stale(workspace, remove=not dry_run):
        yield Said(f"{'would delete' if dry_run else 'deleted'} {path}", done=True)


def _without_record(workspace: Path, names: list[str]) -> Iterator[Said]:
    """Name the folders in use that may be of a build of bootstrap-vz itself."""
    for folder in sorted(workspace.iterdir()):
        if record.path_of(folder).name in names or folder.is_symlink() or not folder.is_dir():
            continue
        used = [*leftovers.mounts(folder), *leftovers.loop_devices(folder)]
        if used:
            yield Said(f"{folder}: left alone: there is no record of it; in use: {used[0]}")
