"""Whether a manifest asks the plugin for what it can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .backings import BACKINGS, Backing
from .settings import Settings

SCHEMA = Path(__file__).with_name("manifest-schema.yml")
BLOCK = ["plugins", "sparse"]
PUNCHING = ("auto", "punch", "reflink", "none")  # methods that make each hole themselves

# Links, mounts of the kernel, and what debootstrap makes links of.
NO_SCRATCH = ("bin", "dev", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys",
              "var/lock", "var/run")  # fmt: skip

# What is wrong, and the path of it in the manifest.
Problem = tuple[str, list[Any]]


def validate(data: dict[str, Any], error: Callable[[str, list[Any]], None]) -> None:
    """Report by ``error`` the first thing in the manifest that cannot be done."""
    for problem in _violations(data):
        error(*problem)
    for problem in _contradictions(data):
        error(*problem)


def _violations(data: dict[str, Any]) -> Iterator[Problem]:
    """What the schema does not allow."""
    import yaml
    from jsonschema import Draft4Validator

    schema = yaml.safe_load(SCHEMA.read_text())
    for violation in Draft4Validator(schema).iter_errors(data):
        path = list(violation.absolute_path)
        if violation.validator == "additionalProperties":
            known = violation.schema["properties"]
            unknown = next(key for key in violation.instance if key not in known)
            yield f"unknown key, known are: {', '.join(known)}", [*path, unknown]
        elif "expected" in violation.schema:
            yield f"{violation.instance!r} is not {violation.schema['expected']}", path
        else:
            yield violation.message, path


def _contradictions(data: dict[str, Any]) -> Iterator[Problem]:
    """What is right by itself and cannot be done together."""
    name = data["volume"].get("backing")
    backing = BACKINGS.get(name)
    if backing is None:
        able = ", ".join(BACKINGS)
        reason = f"the sparse plugin works on image files ({able}): drop it, {name} is none"
        yield reason, ["volume", "backing"]
        return
    try:
        settings = Settings.of(data["plugins"])
    except ValueError as reason:
        yield str(reason).lower(), [*BLOCK, "sparsify_command"]
        return
    yield from _unable(name, backing, settings)
    yield from _without_effect(data["volume"]["partitions"], backing, settings)
    for path in (["tarball"], ["limit", "tarball"]):
        if data["provider"]["name"] != "gce" and path[-1] in _at(data, path[:-1]):
            yield "only the provider gce makes a tarball here: drop it", [*BLOCK, *path]
    yield from _scratch(settings)
    yield from _minimize_size(data["plugins"].get("minimize_size"))


def _at(data: dict[str, Any], path: list[str]) -> dict[str, Any]:
    """The part of the block below ``path``."""
    part: dict[str, Any] = data["plugins"]["sparse"]
    for key in path:
        part = part.get(key, {})
    return part


def _unable(name: str, backing: Backing, settings: Settings) -> Iterator[Problem]:
    for key in ("reclaim", "sparsify"):
        able, asked = getattr(backing, key), getattr(settings, key)
        if asked not in able:
            reason = f"{asked} cannot be done on a {name} volume; what can: {', '.join(able)}"
            yield reason, [*BLOCK, key]
    if backing.format and settings.reclaim == "metadata" and settings.sparsify == "none":
        yield (
            f"the metadata of a {name} volume is read while it is converted: drop sparsify: none",
            [*BLOCK, "reclaim"],
        )


def _without_effect(
    partitions: dict[str, Any], backing: Backing, settings: Settings
) -> Iterator[Problem]:
    if settings.sparsify == "command" and not settings.sparsify_command:
        yield "sparsify: command needs a program: sparsify_command: PROGRAM", [*BLOCK, "sparsify"]
    if settings.sparsify_command and settings.sparsify != "command":
        reason = "it is for sparsify: command alone: add that, or drop it"
        yield reason, [*BLOCK, "sparsify_command"]
    if settings.min_hole and (backing.format or settings.sparsify not in PUNCHING):
        able = ", ".join(PUNCHING)
        yield (
            f"it is for raw volumes with sparsify {able}: others choose their holes",
            [*BLOCK, "min_hole"],
        )
    kinds = [p.get("filesystem", "") for p in partitions.values() if isinstance(p, dict)]
    if settings.reclaim == "zerofree" and not any(kind.startswith("ext") for kind in kinds):
        reason = "zerofree is for ext2, ext3 and ext4, and there is none: use auto"
        yield reason, [*BLOCK, "reclaim"]


def _scratch(settings: Settings) -> Iterator[Problem]:
    for index, folder in enumerate(settings.scratch):
        path = [*BLOCK, "scratch", index]
        parts = folder.split("/")
        if not folder or {"", ".", ".."} & set(parts):
            yield f"'/{folder}' is not a folder of the image: write it in full, as /var/tmp", path
        if any(f"{folder}/".startswith(f"{other}/") for other in NO_SCRATCH):
            yield f"'/{folder}' cannot be bound, it is the kernel's or a link: drop it", path
        for other in settings.scratch[:index]:
            if f"{folder}/".startswith(f"{other}/") or f"{other}/".startswith(f"{folder}/"):
                yield f"'/{folder}' and '/{other}' are in each other: drop one", path


def _minimize_size(block: Any) -> Iterator[Problem]:
    """The two settings of that plugin that work on the volume when it is ours."""
    for key, ours in (("zerofree", "reclaim"), ("shrink", "sparsify")):
        if isinstance(block, dict) and block.get(key):
            yield (
                f"plugins.sparse.{ours} does this, and asks first whether it is safe: drop {key}",
                ["plugins", "minimize_size", key],
            )
