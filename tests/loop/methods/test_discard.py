"""Free blocks that only the kernel finds."""

from __future__ import annotations

import os
import random
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import bootstrapvz_sparse
from bootstrapvz_sparse.image import sparsify
from bootstrapvz_sparse.image.extents import allocated
from bootstrapvz_sparse.util import loop
from tests.support.e2fsprogs import debugfs
from tests.support.methods import (
    IMAGE,
    MIB,
    content,
)
from tests.support.mounting import bound, mounted, run
from tests.support.nobody import as_nobody
from tests.support.used import assert_holds

pytestmark = pytest.mark.loop

SOURCE = Path(bootstrapvz_sparse.__file__).parent.parent
# Run a command in a chroot of all there is, in a folder that is no mount point.
CHROOT = """
mount --make-rprivate / 2>/dev/null
cd "$1" && shift
for each in /*; do
    if test -L "$each"; then
        cp -P "$each" .
    elif test -d "$each"; then
        mkdir ".$each" && mount --rbind "$each" ".$each" || exit
    fi
done
exec chroot . "$@"
"""


@pytest.fixture(scope="module")
def used_btrfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("used-btrfs")
    with mounted("btrfs", folder, 192 * MIB) as inside:
        for name in ("kept", "gone"):
            (inside / name).write_bytes(random.Random(name).randbytes(24 * MIB))
        os.sync()
        (inside / "gone").unlink()
    return folder / "image-btrfs"


def btrfs_in(folder: Path, used_btrfs: Path) -> Path:
    image = folder / "image"
    run("cp", "--sparse=never", used_btrfs, image)
    image.chmod(0o666)
    return image


def test_btrfs_is_discarded(
    folders: Callable[[str], Path], used_btrfs: Path, tmp_path: Path
) -> None:
    image = btrfs_in(folders("ext4"), used_btrfs)
    try:
        for reclaim in ("metadata", "auto"):
            alone = sparsify(image, reclaim=reclaim)
            assert any("left alone: no reader for btrfs" in note for note in alone.notes)
            assert alone.after > 48 * MIB
        report = sparsify(image, reclaim="discard", verify=True)
        assert ["were not compared" in note for note in report.notes] == [True]
        assert report.after < alone.after - 20 * MIB
        assert report.verified[-1] == "the filesystem: btrfs checks clean"
        assert loop.devices(image.stat()) == []
        assert str(image) not in Path("/proc/self/mounts").read_text()
        point = tmp_path / "point"
        point.mkdir()
        run("mount", "-o", "loop,ro", image, point)
        try:
            assert [each.name for each in point.iterdir()] == ["kept"]
            assert (point / "kept").read_bytes() == random.Random("kept").randbytes(24 * MIB)
        finally:
            run("umount", point)
    finally:
        image.unlink()


def test_discards_in_chroot_that_is_no_mount_point(
    folders: Callable[[str], Path], used_btrfs: Path, tmp_path: Path
) -> None:
    image = btrfs_in(folders("ext4"), used_btrfs)
    command = [sys.executable, "-m", "bootstrapvz_sparse.cli", "sparsify"]
    command += ["--reclaim", "discard", image]
    try:
        run(
            *("unshare", "--mount", "--propagation", "unchanged", "sh", "-c", CHROOT, "sh"),
            *(tmp_path, "env", f"--chdir={SOURCE}", *command),
        )
        assert allocated(image.stat()) < 48 * MIB
        assert loop.devices(image.stat()) == []
    finally:
        image.unlink()


def test_btrfs_where_nothing_can_be_punched(used_btrfs: Path, tmp_path: Path) -> None:
    """Mounting it would change it to no purpose."""
    plain = tmp_path / "plain"
    plain.mkdir()
    with bound(plain, tmp_path / "bound") as folder:
        image = btrfs_in(folder, used_btrfs)
        before = content(image)
        report = sparsify(image, reclaim="discard", verify=True)
        assert report.method == "copy"
        assert any("left alone: the build filesystem cannot" in note for note in report.notes)
        assert content(image) == before


def test_a_broken_btrfs_is_left_alone(folders: Callable[[str], Path], used_btrfs: Path) -> None:
    image = btrfs_in(folders("ext4"), used_btrfs)
    try:
        tree = re.search(
            r"^leaf (\d+)", run("btrfs", "inspect-internal", "dump-tree", "-t", "csum", image), re.M
        )
        assert tree
        with image.open("r+b") as file:
            for place in re.findall(
                r"physical (\d+)", run("btrfs-map-logical", "-l", tree[1], image)
            ):
                file.seek(int(place))
                file.write(b"broken")
        before = content(image)
        report = sparsify(image, reclaim="discard", verify=True)
        assert content(image) == before
        assert report.verified == ()
        assert any("left alone: btrfs: " in note for note in report.notes)
    finally:
        image.unlink()


def test_btrfs_of_an_ordinary_user(open_folder: Path, used_btrfs: Path) -> None:
    image = btrfs_in(open_folder, used_btrfs)

    def work() -> None:
        report = sparsify(image, reclaim="discard")
        assert [note for note in report.notes if "needs root" in note], report.notes
        assert 48 * MIB < report.after < 192 * MIB

    as_nobody(work)


def test_ext4_is_discarded(
    make: Callable[..., Path], used: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    image = make("ext4")
    report = sparsify(image, reclaim="discard", verify=True)
    assert ["were not compared" in note for note in report.notes] == [True]
    assert report.after < IMAGE / 2
    assert loop.devices(image.stat()) == []
    assert_holds(image, used[1], tmp_path)


def test_a_dirty_ext4_is_not_discarded(make: Callable[..., Path]) -> None:
    image = make("ext4")
    debugfs(image, "ssv state 0")
    before = content(image)
    for reclaim in ("auto", "discard"):
        report = sparsify(image, reclaim=reclaim)
        assert any("not cleanly unmounted" in note for note in report.notes)
        assert content(image) == before
