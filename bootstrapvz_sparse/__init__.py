"""Sparse images for bootstrap-vz: the plugin's interface.

bootstrap-vz finds the plugin by its entry point and calls the functions below. A manifest enables
it with ``plugins: {sparse: {}}``. The functions import their dependencies when they are called,
because the command line also imports this module and needs neither jsonschema nor bootstrap-vz.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing it would load typing, a tenth of the run time of --version
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__version__ = "0.1.0"


def validate_manifest(
    data: dict[str, Any],
    validator: Callable[[dict[str, Any], str], None],
    error: Callable[[str, list[Any]], None],
) -> None:
    """Reject a manifest that the plugin cannot build, naming the path of the setting."""
    from . import upstream
    from .plugin.validation import validate

    upstream.install()  # bootstrap-vz's own program imports this late: repair its modules now
    validate(data, error)  # checks the schema, too: bootstrap-vz's validator does not name the key


def resolve_tasks(taskset: set[Any], manifest: Any) -> None:
    """Add the plugin's tasks, and remove the tasks that they replace."""
    from .plugin.schedule import add_tasks

    add_tasks(taskset, manifest)


def resolve_rollback_tasks(
    taskset: set[Any],
    manifest: Any,
    completed: list[Any],
    counter_task: Callable[[set[Any], Any, Any], None],
) -> None:
    """Add the tasks that undo a failed build."""
    from .plugin.schedule import add_rollback_tasks

    add_rollback_tasks(taskset, completed, counter_task)
