"""zerofree(8), on what is in order and on what is not."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from bootstrapvz_sparse.image.filesystems import UntrustedMetadata
from bootstrapvz_sparse.image.zerofree import zerofree
from tests.support.e2fsprogs import debugfs
from tests.support.mounting import attached, run
from tests.support.used import assert_holds, make_used

pytestmark = pytest.mark.loop

MIB = 1 << 20


def content(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


@pytest.mark.parametrize("kind", ["ext2", "ext3", "ext4"])
def test_free_blocks_become_zeros(tmp_path: Path, kind: str) -> None:
    image, files = make_used(kind, tmp_path, 64 * MIB)
    zeros = image.read_bytes().count(bytes(4096))
    with attached(image) as device:
        zerofree(Path(device))
    assert image.read_bytes().count(bytes(4096)) > zeros + 1500
    assert_holds(image, files, tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("feature needs_recovery", "journal"),
        ("ssv state 0", "not clean|state"),
        ("ssv state 3", "error"),
    ],
)
def test_what_is_not_in_order_is_left_alone(tmp_path: Path, change: str, reason: str) -> None:
    """zerofree itself would go on, and files that only the journal knows would be gone."""
    image, _ = make_used("ext4", tmp_path, 64 * MIB)
    debugfs(image, change)
    before = content(image)
    with pytest.raises(UntrustedMetadata, match=reason), attached(image) as device:
        zerofree(Path(device))
    assert content(image) == before


def test_nothing_but_ext(tmp_path: Path) -> None:
    image, _ = make_used("xfs", tmp_path, 300 * MIB)
    before = content(image)
    with pytest.raises(UntrustedMetadata, match="zerofree cannot handle xfs"):
        zerofree(image)
    assert content(image) == before
    with (tmp_path / "empty").open("wb") as file:
        file.truncate(MIB)
    with pytest.raises(UntrustedMetadata, match="zerofree cannot handle unknown content"):
        zerofree(tmp_path / "empty")


def test_run_on_a_file(tmp_path: Path) -> None:
    image, files = make_used("ext4", tmp_path, 64 * MIB)
    zerofree(image)
    assert_holds(image, files, tmp_path)
    run("e2fsck", "-fn", image)
