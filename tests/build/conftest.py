"""A Debian for each release, built once for all tests and workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.build import base
from tests.support.shared import folder, once


@dataclass
class Built:
    """A finished build: its image, the image before it was sparsified, and an earlier state."""

    folder: Path
    image: Path
    before: Path
    installed: Path  # the backup of the prebootstrapped plugin: all packages, not cleaned
    messages: str


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory)


@pytest.fixture(scope="session")
def built_release(shared: Path) -> Callable[[str], Built]:
    """Return the build of ``manifests/kvm-RELEASE.yml``, made by the first worker that asks."""

    def get(release: str) -> Built:
        place = once(shared / release, lambda place: make(place, release))
        [image] = (place / "images").iterdir()
        messages = (place / "messages").read_text()
        return Built(place, image, place / "before.raw", place / "installed.backup", messages)

    def make(place: Path, release: str) -> None:
        manifest = base.manifest_of(
            f"kvm-{release}",
            sparse={"report": str(place / "report.json")},
            keep_before={"copy": str(place / "before.raw")},
            prebootstrapped={},
        )
        base.build(place, manifest, shared)
        [backup] = (place / "images").glob("*.backup")
        backup.rename(place / "installed.backup")

    return get
