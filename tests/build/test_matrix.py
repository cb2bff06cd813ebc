"""Each way to reclaim, and most ways to sparsify, in real builds that go on from one system.

``make matrix`` does all of them with one another, and boots each image.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.build.conftest import Built
from tests.build.matrix import variant
from tests.build.tree import File, differences, tree

pytestmark = [
    *(pytest.mark.build, pytest.mark.long, pytest.mark.timeout(1200)),
    pytest.mark.xdist_group("matrix"),
]
RELEASE = "trixie"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("matrix")
    (folder / "images").mkdir()
    return folder


@pytest.fixture(scope="module")
def backup(built_release: Callable[[str], Built]) -> Path:
    return built_release(RELEASE).installed


@pytest.fixture(scope="module")
def plain(folder: Path, backup: Path) -> dict[str, File]:
    """Return the files of an image that is neither reclaimed nor sparsified."""
    image, _ = variant(folder, backup, "none", "none", RELEASE)
    files = tree(image, folder / "mounted")
    image.unlink()
    return files


@pytest.mark.parametrize(
    ("reclaim", "sparsify"),
    [("metadata", "qemu-img"), ("discard", "copy"), ("zerofree", "dig-holes")],
)
def test_the_same_files(
    reclaim: str, sparsify: str, folder: Path, backup: Path, plain: dict[str, File]
) -> None:
    image, ledger = variant(folder, backup, reclaim, sparsify, RELEASE)
    assert len(plain) > 10_000
    assert differences(plain, tree(image, folder / "mounted")) == []
    image.unlink()
    stages = {stage["stage"]: stage for stage in ledger["stages"]}
    assert stages["sparsified"]["method"] == sparsify
    assert stages["sparsified"]["allocated"] < stages["built"]["allocated"]
    assert ledger["notes"] == []
    assert ledger["verified"][0] == "no byte in use has changed"
