"""Check the settings of a manifest against each other and against its volume."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft4Validator

from ..image.methods import METHODS
from .backings import BACKINGS, Backing
from .settings import Settings

SCHEMA = Path(__file__).with_name("manifest-schema.yml")
BLOCK = ["plugins", "sparse"]
PUNCHING = ("auto", *(name for name, method in METHODS.items() if method.honours_min_hole))

# Mount points of the kernel, symbolic links, and folders that debootstrap turns into links.
NO_SCRATCH = ("bin", "dev", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys",
              "var/lock", "var/run")  # fmt: skip

# A message, and the path of the setting in the manifest.
Problem = tuple[str, list[Any]]


def validate(data: dict[str, Any], error: Callable[[str, list[Any]], None]) -> None:
    """Report the first invalid setting of the manifest through ``error``."""
    for problem in _violations(data):
        error(*problem)
    for problem in _contradictions(data):
        error(*problem)


def _violations(data: dict[str, Any]) -> Iterator[Problem]:
    """Yield the violations of the schema."""
    schema = yaml.safe_load(SCHEMA.read_text())
    for violation in Draft4Validator(schema).iter_errors(data):
        path = list(violation.absolute_path)
        if violation.validator == "additionalProperties":
            known = violation.schema["properties"]
            unknown = next(key for key in violation.instance if key not in known)
            yield f"unknown key (known keys: {', '.join(known)})", [*path, unknown]
        elif "expected" in violation.schema:
            yield f"expected {violation.schema['expected']}, got {violation.instance!r}", path
        else:
            yield violation.message, path


def _contradictions(data: dict[str, Any]) -> Iterator[Problem]:
    """Yield settings that are valid on their own but contradict others."""
    name = data["volume"].get("backing")
    backing = BACKINGS.get(name)
    if backing is None:
        supported = ", ".join(BACKINGS)
        reason = f"the sparse plugin needs a file-backed volume ({supported})"
        yield f"{reason}; remove it to build on {name}", ["volume", "backing"]
        return
    try:
        settings = Settings.of(data["plugins"])
    except ValueError as reason:
        yield str(reason).lower(), [*BLOCK, "sparsify_command"]
        return
    yield from _unsupported(name, backing, settings)
    yield from _without_effect(data["volume"]["partitions"], backing, settings)
    for path in (["tarball"], ["limit", "tarball"]):
        if data["provider"]["name"] != "gce" and path[-1] in _at(data, path[:-1]):
            yield "only the provider gce makes a tarball; remove this setting", [*BLOCK, *path]
    yield from _scratch(settings)
    yield from _minimize_size(data["plugins"].get("minimize_size"))


def _at(data: dict[str, Any], path: list[str]) -> dict[str, Any]:
    """Return the part of the block below ``path``."""
    part: dict[str, Any] = data["plugins"]["sparse"]
    for key in path:
        part = part.get(key, {})
    return part


def _unsupported(name: str, backing: Backing, settings: Settings) -> Iterator[Problem]:
    """Yield the settings that the backing does not support."""
    for key in ("reclaim", "sparsify"):
        supported, value = getattr(backing, key), getattr(settings, key)
        if value not in supported:
            reason = f"{value} is not supported on {name} volumes (use {', '.join(supported)})"
            yield reason, [*BLOCK, key]
    if backing.format and settings.reclaim == "metadata" and settings.sparsify == "none":
        yield (
            f"the metadata of {name} volumes is read during conversion; remove sparsify: none",
            [*BLOCK, "reclaim"],
        )


def _without_effect(
    partitions: dict[str, Any], backing: Backing, settings: Settings
) -> Iterator[Problem]:
    """Yield the settings that would have no effect."""
    if settings.sparsify == "command" and not settings.sparsify_command:
        yield "command needs a program (add sparsify_command: PROGRAM)", [*BLOCK, "sparsify"]
    if settings.sparsify_command and settings.sparsify != "command":
        reason = "only used with sparsify: command; add that or remove this setting"
        yield reason, [*BLOCK, "sparsify_command"]
    if settings.min_hole and (backing.format or settings.sparsify not in PUNCHING):
        supported = ", ".join(PUNCHING)
        yield (
            f"only used on raw volumes with sparsify {supported}; remove this setting",
            [*BLOCK, "min_hole"],
        )
    kinds = [p.get("filesystem", "") for p in partitions.values() if isinstance(p, dict)]
    if settings.reclaim == "zerofree" and not any(kind.startswith("ext") for kind in kinds):
        reason = "zerofree needs an ext2, ext3 or ext4 partition; use auto"
        yield reason, [*BLOCK, "reclaim"]


def _scratch(settings: Settings) -> Iterator[Problem]:
    """Yield the folders in ``scratch`` that cannot be bound."""
    for index, folder in enumerate(settings.scratch):
        path = [*BLOCK, "scratch", index]
        parts = folder.split("/")
        if not folder or {"", ".", ".."} & set(parts):
            yield f"'/{folder}' is not a plain absolute path (example: /var/tmp)", path
        if any(f"{folder}/".startswith(f"{other}/") for other in NO_SCRATCH):
            yield f"'/{folder}' belongs to the kernel or is a symbolic link; remove it", path
        for other in settings.scratch[:index]:
            if f"{folder}/".startswith(f"{other}/") or f"{other}/".startswith(f"{folder}/"):
                yield f"'/{folder}' and '/{other}' overlap; remove one of them", path


def _minimize_size(block: Any) -> Iterator[Problem]:
    """Yield the settings of ``minimize_size`` that process the volume a second time."""
    for key, ours in (("zerofree", "reclaim"), ("shrink", "sparsify")):
        if isinstance(block, dict) and block.get(key):
            yield (
                f"plugins.sparse.{ours} does the same, with checks; remove {key}",
                ["plugins", "minimize_size", key],
            )
