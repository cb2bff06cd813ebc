"""Helpers to replace the body of a task."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any


def replace_run(task: Any, run: Callable[[Any], None]) -> None:
    """Replace the body of ``task`` by ``run``, which gets bootstrap-vz's information object."""
    task.run = classmethod(lambda cls, info: run(info))


def skip_when(task: Any, condition: Callable[[Any], bool]) -> None:
    """Skip ``task`` in builds that meet ``condition``."""
    run = task.run
    replace_run(task, lambda info: None if condition(info) else run(info))


def inside(info: Any, path: str) -> str:
    """Return the host's path of ``path``, relative to the root of the image."""
    return os.path.join(info.root, path)
