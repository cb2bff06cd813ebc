"""Workspaces that no image can be built in, and what a build may leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from bootstrapvz_sparse.builder import leftovers
from bootstrapvz_sparse.cli import main
from bootstrapvz_sparse.plugin.tasks import reclaim
from bootstrapvz_sparse.util import loop, programs
from tests.support.manifests import write
from tests.support.mounting import fill, mounted, run

pytestmark = pytest.mark.loop


def refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    manifest = write(folder)
    before = sorted(folder.rglob("*"))
    assert main(["build", "--log", str(folder / "log"), str(manifest)]) == 1
    assert sorted(folder.rglob("*")) == before
    return capsys.readouterr().err


def test_no_holes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with mounted("exfat", tmp_path, 1100 << 20) as folder:
        assert f"{folder}: this filesystem cannot hold sparse files" in refused(folder, capsys)


def test_no_room(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with mounted("ext4", tmp_path, 64 << 20) as folder:
        line = refused(folder, capsys)
        assert "MiB free, a build needs at least 1.0 GiB" in line


def test_full(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with mounted("tmpfs", tmp_path, 1 << 20) as folder:
        write(folder)
        fill(folder, 4096)
        assert main(["build", "--log", "-", str(folder / "manifest.yml")]) == 1
        assert f"{folder}: not writable" in capsys.readouterr().err


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A folder with a space, and a mount in a mount."""
    folder = tmp_path / "work space"
    folder.mkdir()
    run("mount", "-t", "tmpfs", "tmpfs", folder)
    (folder / "root").mkdir()
    run("mount", "-t", "tmpfs", "tmpfs", folder / "root")
    return folder


def test_leftovers_are_found_and_released(workspace: Path, tmp_path: Path) -> None:
    beside = tmp_path / "work space too"
    beside.mkdir()
    run("mount", "-t", "tmpfs", "tmpfs", beside)
    image = workspace / "volume.raw"
    with image.open("wb") as file:
        file.truncate(1 << 20)
    device = run("losetup", "--find", "--show", image).strip()
    inside = workspace / "root"
    for folder in ("bin", "lib", "lib64", "usr"):
        (inside / folder).mkdir()
        run("mount", "--bind", f"/{folder}", inside / folder)
    stubborn = "trap '' TERM; while :; do sleep 1; done"
    process = subprocess.Popen(["chroot", inside, "/bin/sh", "-c", stubborn])
    try:
        while not leftovers.processes(workspace):
            time.sleep(0.01)
        assert process.pid in leftovers.processes(workspace)
        assert leftovers.loop_devices(workspace) == [device]
        assert leftovers.mounts(workspace)[-1] == str(workspace)
        assert len(leftovers.mounts(workspace)) == 6
        leftovers.unmount(workspace, keep=[str(workspace), str(inside)])  # busy: all stay
        leftovers.end_processes(workspace, patience=1)
        assert process.wait() == -signal.SIGKILL
        leftovers.unmount(workspace, keep=[str(workspace), str(inside)])
        assert len(leftovers.mounts(workspace)) == 2
        run("losetup", "--detach", device)  # it keeps the workspace busy
        assert leftovers.undo(workspace) == []
        assert not workspace.exists()
        assert leftovers.mounts(beside) == [str(beside)]
    finally:
        process.kill()
        run("umount", beside)


def test_finds_mount_options_below_a_space(workspace: Path) -> None:
    inside = workspace / "root"
    run("umount", inside)
    run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", inside)
    assert "size=64k" in reclaim._options(str(inside))
    leftovers.unmount(workspace)


def test_a_loop_device_is_released(tmp_path: Path) -> None:
    image = tmp_path / "volume.raw"
    with image.open("wb") as file:
        file.truncate(1 << 20)
    run("losetup", "--find", image)
    leftovers.release(tmp_path)
    assert leftovers.loop_devices(tmp_path) == []


def test_programs_inherit_a_safe_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that a program starts finds no program of another user's, either."""
    (tmp_path / "mount").write_text("#!/bin/sh\n")
    tmp_path.chmod(0o777)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    result = programs.run("sh", "-c", 'echo "$PATH"')
    assert result.stdout.strip() == programs.search_path()
    assert str(tmp_path) not in result.stdout.split(":")


ATTACH = 'mkdir -p "$1"; truncate -s 1M "$1/volume.raw"; losetup --find "$1/volume.raw"'


@pytest.mark.parametrize("own_mount", [True, False], ids=["by its label", "by its inode"])
def test_finds_loop_devices_of_a_namespace_that_ended(own_mount: bool) -> None:
    """No path leads to the file, or one that lacks the mount point."""
    workspace = Path(tempfile.mkdtemp(dir="/tmp"))  # losetup's label has 63 bytes
    folder = workspace / ("0123abcd" if own_mount else "x" * 60)
    mount = 'mount -t tmpfs tmpfs "$0"; '
    try:
        run("sh", "-ec", "true" if own_mount else mount, workspace)
        script = f"{mount if own_mount else ''}{ATTACH}"
        run(
            "unshare", "--mount", "--propagation", "private", "sh", "-ec", script, workspace, folder
        )
        [device] = leftovers.loop_devices(folder)
        assert dict(loop.attached())[device] != f"{folder}/volume.raw"
        assert leftovers.loop_devices(workspace / "89abcdef") == []
        assert leftovers.undo(folder) == [] and not folder.exists()
    finally:
        subprocess.run(["umount", workspace], capture_output=True)
        workspace.rmdir()
