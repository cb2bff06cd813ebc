"""virt-sparsify of libguestfs."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bootstrapvz_sparse.image import sparsify
from bootstrapvz_sparse.util.errors import SparseError
from tests.support.methods import (
    IMAGE,
    MIB,
    VIRT,
)
from tests.support.mounting import mounted, run
from tests.support.used import ZEROS, assert_holds

pytestmark = pytest.mark.loop


@pytest.fixture
def virt_sparsify(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real one, which no test machine is made to install: it brings 300 MB along."""
    if not shutil.which("virt-sparsify"):
        pytest.skip("virt-sparsify is not there")
    monkeypatch.setenv("LIBGUESTFS_BACKEND", "direct")  # no libvirt
    monkeypatch.setenv("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg")  # runs anywhere


@pytest.mark.usefixtures("virt_sparsify")
@pytest.mark.parametrize("method", VIRT)
def test_virt_sparsify(
    method: str,
    make: Callable[..., Path],
    used: tuple[Path, dict[str, bytes]],
    by_punching: Callable[[str], int],
    tmp_path: Path,
) -> None:
    image = make("ext4")
    report = sparsify(image, method=method, verify=True)
    assert "bytes in use were not compared" in report.notes[0]
    assert report.verified == ("the filesystem: ext4 checks clean",)
    more = 0 if method == "virt-sparsify-copy" else ZEROS
    # it frees no journal
    assert report.after <= by_punching("ext4") + more + 5 * MIB
    assert_holds(image, used[1], tmp_path)


def test_what_virt_sparsify_gets(
    make: Callable[..., Path], fake: Callable[[str, str], Path]
) -> None:
    program = fake("virt-sparsify", 'case "$*" in *--in-place*) exit;; esac; cp "$from" "$to"')
    got = program.with_name("virt-sparsify.arguments")
    image = make("ext4", "an image")
    sparsify(image, method="virt-sparsify")
    *options, source = got.read_text().splitlines()
    assert options == ["--quiet", "--in-place", "--format", "raw"]
    assert re.fullmatch(rf"/proc/{os.getpid()}/fd/\d+", source)
    sparsify(image, method="virt-sparsify-copy")
    *options, space, source, copy = got.read_text().splitlines()
    assert options == [
        *("--quiet", "--format", "raw", "--convert", "raw"),
        *("--check-tmpdir", "fail", "--tmp"),
    ]
    assert Path(source).parent == Path(f"/proc/{os.getpid()}/fd")
    assert Path(space).parent == Path(f"/proc/{os.getpid()}/fd")
    assert {each.name for each in image.parent.iterdir()} == {image.name, "lost+found"}
    assert Path(copy).parent == Path(f"/proc/{os.getpid()}/fd")


def test_virt_sparsify_is_not_there(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image = make("ext4")
    for program in ("cp", "blkid"):
        (tmp_path / program).symlink_to(shutil.which(program) or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    for method in VIRT:
        with pytest.raises(
            SparseError, match=r"virt-sparsify \(package guestfs-tools\) is not inst"
        ):
            sparsify(image, method=method)
    monkeypatch.undo()


def test_virt_sparsify_has_room(
    used: tuple[Path, dict[str, bytes]], fake: Callable[[str, str], Path], tmp_path: Path
) -> None:
    """It may write to all that is free before it copies."""
    fake("virt-sparsify", "exit 1")
    with mounted("tmpfs", tmp_path, IMAGE) as folder:
        run("cp", "--sparse=always", used[0], folder / "image")
        with pytest.raises(SparseError, match="a second file needs up to 64.0 MiB"):
            sparsify(folder / "image", method="virt-sparsify-copy")
        assert list(folder.iterdir()) == [folder / "image"]
