"""Sparse images for bootstrap-vz: the plugin's face.

bootstrap-vz finds it by its entry point and calls the functions below; a manifest switches it on
with ``plugins: {sparse: {}}``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

SCHEMA = Path(__file__).with_name("manifest-schema.yml")


def validate_manifest(
    data: dict[str, Any],
    validator: Callable[[dict[str, Any], str], None],
    error: Callable[[str, list[str]], None],
) -> None:
    """Refuse a manifest that asks for what is not there, naming the path in it."""
    from bootstrapvz.common.tools import load_data

    block = data["plugins"]["sparse"]
    properties = load_data(str(SCHEMA))["properties"]["plugins"]["properties"]["sparse"]
    known = properties["properties"]
    for key in block if isinstance(block, dict) else ():
        if key not in known:  # the schema's own message has the path of the block only
            error(f"unknown key, known are: {', '.join(known)}", ["plugins", "sparse", str(key)])
    validator(data, str(SCHEMA))
    if data["volume"].get("backing") not in ("raw", "s3"):
        error("the sparse plugin works on raw volumes", ["volume", "backing"])


def resolve_tasks(taskset: set[Any], manifest: Any) -> None:
    """Put our tasks in, and take out those that they replace."""
    from bootstrapvz.common.tasks import loopback

    from .tasks import create, ledger, sparsify

    # the prebootstrapped plugin copies an image instead, and may be asked before or after us
    copied = "image" in manifest.plugins.get("prebootstrapped", {})
    if loopback.Create in taskset and not copied:
        taskset.discard(loopback.Create)
        taskset.add(create.CreateSparse)
    taskset.update([sparsify.Sparsify, ledger.Show])


def resolve_rollback_tasks(
    taskset: set[Any],
    manifest: Any,
    completed: list[Any],
    counter_task: Callable[[set[Any], Any, Any], None],
) -> None:
    """Undo what a build that failed has done: nobody else knows that we created the volume."""
    from bootstrapvz.common.tasks import volume

    from .tasks import create

    counter_task(taskset, create.CreateSparse, volume.Delete)
