"""Each method on each build filesystem."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bootstrapvz_sparse.image import sparsify
from bootstrapvz_sparse.image.extents import allocated, data, total
from bootstrapvz_sparse.image.holes import probe
from bootstrapvz_sparse.image.survey import survey
from bootstrapvz_sparse.util.errors import SparseError, Unsupported
from tests.support.methods import (
    DIGGING,
    EXTENTS,
    IMAGE,
    MIB,
    OTHERS,
    SECOND,
    content,
    other_method,
)
from tests.support.unable import unable
from tests.support.used import ZEROS, assert_holds

pytestmark = pytest.mark.loop


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs"])
@pytest.mark.parametrize("method", ["auto", *OTHERS])
def test_every_method(
    method: str,
    kind: str,
    make: Callable[..., Path],
    used: tuple[Path, dict[str, bytes]],
    by_punching: Callable[[str], int],
    by_digging: Callable[[str], int],
    tmp_path: Path,
) -> None:
    if method == "qemu-img" and not shutil.which("qemu-img"):
        unable("qemu-img is not there")
    image = make(kind)
    before = image.stat()
    report = sparsify(image, **other_method(method))  # type: ignore[arg-type]
    assert_holds(image, used[1], tmp_path)
    clones = kind in ("xfs", "btrfs")
    expected = "punch" if method == "auto" or (method == "reflink" and not clones) else method
    assert report.method == expected
    assert report.before == allocated(before) >= IMAGE
    assert report.after == allocated(image.stat())
    zeros = total(report.plan.zero)
    assert zeros >= ZEROS
    if method in DIGGING:
        left = by_digging(kind)
        assert by_punching(kind) - EXTENTS <= left < by_punching(kind) + zeros // 2
    else:
        left = by_punching(kind) + (zeros if method == "none" else 0)
    assert abs(report.after - left) <= EXTENTS
    assert report.verified == (
        "no byte in use has changed",
        "the filesystem: ext4 checks clean",
    )
    assert (image.stat().st_ino != before.st_ino) == (expected in SECOND)
    if method == "reflink" and not clones:
        assert report.notes == ("reflink is not used: the build filesystem cannot clone files",)
    else:
        assert report.notes == ()


def test_no_punching_is_copying(
    make: Callable[..., Path],
    used: tuple[Path, dict[str, bytes]],
    by_punching: Callable[[str], int],
    tmp_path: Path,
) -> None:
    image = make("bindfs")
    can = probe(image.parent)
    assert can.sparse and not can.punch
    report = sparsify(image, verify=True)
    assert report.method == "copy"
    assert report.notes == (
        "copy is used: punch: the build filesystem cannot punch holes into files",
    )
    assert abs(report.after - by_punching("tmpfs")) <= EXTENTS
    assert_holds(image, used[1], tmp_path)
    # once more, now that it has holes of which the filesystem tells nothing
    assert sparsify(image, verify=True).after == report.after


@pytest.mark.parametrize("method", ["punch", "dig-holes", "none"])
def test_no_punching_is_refused_by_name(method: str, make: Callable[..., Path]) -> None:
    image = make("bindfs")
    before = content(image)
    with pytest.raises(SparseError, match=f"^{method}: the build filesystem cannot punch holes"):
        sparsify(image, method=method)
    assert content(image) == before


def test_free_blocks_are_zeros_to_others(
    make: Callable[..., Path], used: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    """Free blocks that cannot be punched are filled with zeros for external programs."""
    image = make("bindfs")
    with image.open("rb") as file:
        unneeded = survey(file.fileno(), IMAGE).free
        assert total(unneeded) > 20 * MIB
        assert any(any(os.pread(file.fileno(), b - a, a)) for a, b in unneeded)
        sparsify(image, method="command", command=["true"], verify=True)
        assert not any(any(os.pread(file.fileno(), b - a, a)) for a, b in unneeded)
    assert_holds(image, used[1], tmp_path)


def test_no_holes_at_all(make: Callable[..., Path]) -> None:
    image = make("exfat")
    before = content(image), image.stat()
    with pytest.raises(
        Unsupported, match="^punch: .*; copy: the build filesystem does not support sparse files$"
    ):
        sparsify(image)
    for method in OTHERS:
        if method != "command":  # whose program may know better
            with pytest.raises(
                (SparseError, Unsupported), match="build filesystem (cannot|does not)"
            ):
                sparsify(image, method=method)
    assert (content(image), image.stat().st_mtime_ns) == (before[0], before[1].st_mtime_ns)
    assert list(image.parent.iterdir()) == [image]


def test_no_short_holes(make: Callable[..., Path]) -> None:
    image = make("ext4")
    least = 256 * 1024
    report = sparsify(image, method="punch", min_hole=least, verify=True)
    with image.open("rb") as file:
        filled = list(data(file.fileno(), IMAGE))
    ends = [0, *(end for _, end in filled)]
    starts = [*(start for start, _ in filled), IMAGE]
    holes = [start - end for end, start in zip(ends, starts) if start > end]
    assert len(holes) > 1 and min(holes) >= least
    assert report.after < report.before
    assert sparsify(image).after < report.after
