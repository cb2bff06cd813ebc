"""Capabilities of build filesystems, and sparsifying on each of them."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from bootstrapvz_sparse.image import inspect, sparsify
from bootstrapvz_sparse.image.extents import allocated, total
from bootstrapvz_sparse.image.holes import probe, punch
from bootstrapvz_sparse.util import loop
from bootstrapvz_sparse.util.errors import SparseError, Unsupported
from tests.support.mounting import attached, fill, mounted, run

pytestmark = pytest.mark.loop
SIZE = 320 << 20  # the least that mkfs.xfs takes is 300 MiB


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay"])
def test_a_filesystem_that_can(kind: str, tmp_path: Path) -> None:
    with mounted(kind, tmp_path, SIZE) as folder:
        can = probe(folder)
        assert can.sparse and can.punch and can.block in (1024, 4096)
        if kind != "overlay":  # that is as what lies below
            assert can.clone == (kind in ("xfs", "btrfs"))
        assert list(folder.iterdir()) in ([], [folder / "lost+found"])
        image = folder / "image"
        content = bytes(1 << 20) + os.urandom(1 << 20) + bytes(2 << 20)
        image.write_bytes(content)
        report = sparsify(image)
        assert image.read_bytes() == content
        assert report.after == allocated(image.stat()) == 1 << 20


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs"])
def test_the_last_block_of_an_odd_size(kind: str, tmp_path: Path) -> None:
    with mounted(kind, tmp_path, SIZE) as folder:
        image = folder / "image"
        content = os.urandom(64 << 10) + bytes(700)
        image.write_bytes(content)
        assert sparsify(image).after == 64 << 10
        assert image.read_bytes() == content


@pytest.mark.parametrize("kind", ["exfat", "vfat"])
def test_a_filesystem_that_cannot(kind: str, tmp_path: Path) -> None:
    with mounted(kind, tmp_path, SIZE) as folder:
        can = probe(folder)
        assert not can.sparse and not can.punch and not can.clone
        image = folder / "image"
        image.write_bytes(bytes(1 << 20))
        with pytest.raises(Unsupported):
            sparsify(image)
        assert image.read_bytes() == bytes(1 << 20)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs"])
@pytest.mark.parametrize("pages", ["none", "cached", "dirty"])
def test_blocks_that_were_never_written(kind: str, pages: str, tmp_path: Path) -> None:
    """While pages of them are cached or dirty, SEEK_DATA may call them data."""
    with mounted(kind, tmp_path, SIZE) as folder:
        image = folder / "image"
        run("fallocate", "--length", "64M", image)
        assert allocated(image.stat()) >= 64 << 20
        content = bytearray(64 << 20)
        if pages == "dirty":
            with image.open("r+b") as file:
                file.seek(20 << 20)
                file.write(b"x" * 8192)
            content[20 << 20 : (20 << 20) + 8192] = b"x" * 8192
        if pages != "none":
            assert image.read_bytes() == content
        left = 8192 if pages == "dirty" else 0
        plan = sparsify(image, dry_run=True)
        assert plan.after - left in range(4096)  # ext4 may have a block of extents
        if kind != "tmpfs":  # which does not list its extents
            assert total(plan.plan.survey.allocation.unwritten or []) == (64 << 20) - left
            assert total(plan.plan.survey.to_read) == left
        assert sparsify(image).after - left in range(4096)
        assert image.read_bytes() == content


def test_extents_of_a_fragmented_file(tmp_path: Path) -> None:
    """More of them than the kernel is asked for at once."""
    with mounted("ext4", tmp_path, SIZE) as folder:
        image = folder / "image"
        run("fallocate", "--length", "32M", image)
        with image.open("r+b") as file:
            for place in range(0, 32 << 20, 8192):
                file.seek(place)
                file.write(b"x" * 4096)
        report = sparsify(image, dry_run=True)
        assert len(report.plan.survey.allocation.unwritten or []) == 4096
        assert sparsify(image).after - (16 << 20) in range(256 << 10)  # the tree of extents


def test_errors_are_told_apart(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(1 << 20))
    with image.open("rb") as file, pytest.raises(OSError, match="Bad file") as failed:
        punch(file.fileno(), 0, 4096)
    assert failed.value.errno == errno.EBADF
    with mounted("exfat", tmp_path, SIZE) as folder, (folder / "x").open("wb") as file:
        file.write(bytes(8192))
        file.flush()
        with pytest.raises(Unsupported, match="punching holes"):
            punch(file.fileno(), 0, 4096)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_on_a_full_disk(kind: str, tmp_path: Path) -> None:
    with mounted(kind, tmp_path, SIZE) as folder:
        image = folder / "image"
        content = os.urandom(1 << 20) + bytes(20 << 20)
        image.write_bytes(content)
        os.sync()
        fill(folder, chunk=1 << 20)
        fill(folder, chunk=4096)
        assert sparsify(image).method == "punch"
        assert allocated(image.stat()) == 1 << 20 and image.read_bytes() == content


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_what_a_clone_shares_is_not_gained(kind: str, tmp_path: Path) -> None:
    with mounted(kind, tmp_path, SIZE) as folder:
        image = folder / "image"
        image.write_bytes(os.urandom(1 << 20) + bytes(60 << 20))
        run("cp", "--reflink=always", image, folder / "clone")
        report = sparsify(image)
        assert report.before - report.after == 60 << 20
        assert report.gained < 16 << 20 and report.freed == 0
        assert report.notes[-1] == (
            "60.0 MiB cannot be freed because other files share those blocks (reflink or snapshot)"
        )
        (folder / "clone").unlink()


def test_lower_layer_of_overlayfs_keeps_its_blocks(tmp_path: Path) -> None:
    """Opening the image for writing copies it to the upper layer."""
    lower, upper, work, point = (tmp_path / name for name in ("lower", "upper", "work", "point"))
    for folder in (lower, upper, work, point):
        folder.mkdir()
    (lower / "image").write_bytes(os.urandom(1 << 20) + bytes(20 << 20))
    os.sync()
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    run("mount", "-t", "overlay", "-o", options, "overlay", point)
    try:
        first = sparsify(point / "image")
        assert first.freed == 0 and "lower layer of overlayfs" in first.notes[-1]
        (point / "new").write_bytes(bytes(20 << 20))
        second = sparsify(point / "new")
        assert second.freed == 20 << 20 and second.notes == (
            "the filesystem: free space left alone: no known filesystem",
        )
    finally:
        run("umount", point)
    assert allocated((lower / "image").stat()) == 21 << 20


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs"])
def test_frees_blocks_behind_the_end(kind: str, tmp_path: Path) -> None:
    """Allocated by FALLOC_FL_KEEP_SIZE; no reader of the file ever sees them."""
    with mounted(kind, tmp_path, SIZE) as folder:
        image = folder / "image"
        content = os.urandom(1 << 20)
        image.write_bytes(content)
        run("fallocate", "--keep-size", "--offset", "1M", "--length", "60M", image)
        before = allocated(image.stat())
        assert before >= 61 << 20
        if kind != "tmpfs":  # which does not list its extents
            assert sparsify(image, dry_run=True).after <= 2 << 20
        report = sparsify(image, verify=True)
        assert report.before == before
        assert report.after - (1 << 20) in range(4096)  # ext4 may have a block of extents
        assert image.read_bytes() == content


def test_an_immutable_image(tmp_path: Path) -> None:
    with mounted("ext4", tmp_path, SIZE) as folder:
        image = folder / "image"
        image.write_bytes(bytes(1 << 20))
        run("chattr", "+a", image)
        try:
            with pytest.raises(SparseError, match="Operation not permitted"):
                sparsify(image)
        finally:
            run("chattr", "-a", image)
        run("mount", "-o", "remount,ro", folder)
        with pytest.raises(SparseError, match="Read-only file system"):
            sparsify(image)


def test_an_attached_image_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(1 << 20))
    with attached(image) as device:
        assert loop.devices(image.stat()) == [device]
        remedy = rf"\(detach it: losetup -d {device}\)"
        with pytest.raises(SparseError, match=rf": attached to {device} {remedy}"):
            sparsify(image)
        assert inspect(image).notes[0].endswith("; the figures may be out of date")
    assert allocated(image.stat()) == 1 << 20
    assert sparsify(image).after == 0


def test_a_locked_image_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(1 << 20))
    with subprocess.Popen(["flock", image, "cat"], stdin=subprocess.PIPE) as holder:
        while subprocess.run(["flock", "--nonblock", image, "true"]).returncode == 0:
            pass
        with pytest.raises(SparseError, match=r": locked by .*flock \(PID \d+\)"):
            sparsify(image)
        assert holder.stdin
        holder.stdin.close()


def test_no_larger_than_by_the_peers(tmp_path: Path) -> None:
    """The same used filesystem, by zerofree and ``cp --sparse=always``."""
    with mounted("ext4", tmp_path, SIZE) as folder:
        for number in range(40):
            (folder / f"f{number}").write_bytes(os.urandom(2 << 20))
        (folder / "zeros").write_bytes(bytes(30 << 20))
        os.sync()  # or nothing of the files to be deleted would reach the image
        for number in range(0, 40, 2):
            (folder / f"f{number}").unlink()
    image = tmp_path / "image-ext4"
    peer, copy = tmp_path / "peer", tmp_path / "copy"
    run("cp", "--sparse=never", image, peer)
    run("zerofree", peer)
    run("cp", "--sparse=always", "--reflink=never", peer, copy)
    os.sync()
    before = allocated(image.stat())
    after = sparsify(image).after
    assert after <= allocated(copy.stat()) < before - (60 << 20)
    run("e2fsck", "-fn", image)
    point = tmp_path / "again"
    point.mkdir()
    run("mount", "-o", "loop,ro", image, point)
    try:
        assert (point / "zeros").read_bytes() == bytes(30 << 20)
        assert len(list(point.glob("f*"))) == 20
    finally:
        run("umount", point)
