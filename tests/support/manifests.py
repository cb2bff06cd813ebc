"""Manifests for tests, made from the smallest that builds."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

SMALL: dict[str, Any] = {
    "name": "image",
    "provider": {"name": "kvm"},
    "bootstrapper": {"workspace": "/nowhere"},
    "system": {
        "release": "bookworm",
        "architecture": "amd64",
        "bootloader": "extlinux",
        "charmap": "UTF-8",
        "locale": "en_US",
        "timezone": "UTC",
    },
    "volume": {
        "backing": "raw",
        "partitions": {"type": "none", "root": {"filesystem": "ext4", "size": "2GiB"}},
    },
    "plugins": {"sparse": {}},
}


def write(folder: Path, changes: dict[str, Any] | None = None) -> Path:
    """Write a manifest whose workspace is ``folder/images``; ``changes`` are by dotted path."""
    data = copy.deepcopy(SMALL)
    data["bootstrapper"]["workspace"] = str(folder / "images")
    for path, value in (changes or {}).items():
        *parents, last = path.split(".")
        place = data
        for key in parents:
            place = place[key]
        place[last] = value
    manifest = folder / "manifest.yml"
    manifest.write_text(yaml.safe_dump(data))
    return manifest
