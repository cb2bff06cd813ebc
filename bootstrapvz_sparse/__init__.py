"""Sparse images for bootstrap-vz: the plugin's face.

bootstrap-vz finds it by its entry point and calls the functions below; a manifest switches it on
with ``plugins: {sparse: {}}``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__version__ = "0.1.0"


def validate_manifest(
    data: dict[str, Any],
    validator: Callable[[dict[str, Any], str], None],
    error: Callable[[str, list[Any]], None],
) -> None:
    """Refuse a manifest that asks for what is not there, naming the path in it."""
    from . import upstream
    from .plugin.validation import validate

    upstream.install()  # bootstrap-vz's own program imports us late, and repairs are due by now
    validate(data, error)  # the schema too: bootstrap-vz's validator does not name the key


def resolve_tasks(taskset: set[Any], manifest: Any) -> None:
    """Put our tasks in, and take out those that they replace."""
    from .plugin.schedule import add_tasks

    add_tasks(taskset, manifest)


def resolve_rollback_tasks(
    taskset: set[Any],
    manifest: Any,
    completed: list[Any],
    counter_task: Callable[[set[Any], Any, Any], None],
) -> None:
    """Undo what a build that failed has done."""
    from .plugin.schedule import add_rollback_tasks

    add_rollback_tasks(taskset, counter_task)
