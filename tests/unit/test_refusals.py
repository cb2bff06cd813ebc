"""Builds that are refused before anything is created: one clear line, exit 1, nothing left."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from bootstrapvz_sparse.builder import preflight
from bootstrapvz_sparse.cli import main
from tests.support.manifests import write


@pytest.fixture(autouse=True)
def as_root_with_all_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is run here: what these tests are about comes first."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/bin/{program}")
    monkeypatch.setattr(preflight, "DEBOOTSTRAP_SCRIPTS", Path("/not/there"))


def refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any] | None = None
) -> str:
    """Build; return the one line that is said. Nothing may be there afterwards, no log either."""
    manifest = write(tmp_path, changes)
    before = sorted(tmp_path.rglob("*"))
    assert main(["build", "--log", str(tmp_path / "log"), str(manifest)]) == 1
    assert sorted(tmp_path.rglob("*")) == before
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1, said
    assert said[0].startswith("bvz-sparse: error: ")
    return said[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plugins.sparse": {"sparsfy": "punch"}}, "plugins.sparse.sparsfy: unknown key"),
        ({"plugins.sparse": {1: 2}}, "plugins.sparse.1: unknown key"),
        ({"plugins.sparse": {"reclaim": True}}, "plugins.sparse.reclaim: True is not one of"),
        ({"plugins.sparse": {"reclaim": "all"}}, "plugins.sparse.reclaim: 'all' is not one of"),
        ({"plugins.sparse": {"sparsify": ["punch"]}}, "plugins.sparse.sparsify: ['punch'] is"),
        ({"plugins.sparse": None}, "plugins.sparse: expected a mapping of settings"),
        (
            {"volume.backing": "folder", "provider.name": "docker", "system.bootloader": "none"},
            "volume.backing: the sparse plugin needs a file-backed volume",
        ),
        ({"plugins.sparse2": {}}, "plugins: unknown plugin sparse2"),
        ({"provider.name": "nocloud"}, "providers: unknown provider nocloud"),
        ({"system.release": "nonesuch"}, "system.release: The release `nonesuch' is unknown"),
        ({"system.architecture": "vax"}, "system.architecture: 'vax' is not one of"),
        ({"bootstrapper": {}}, "bootstrapper: 'workspace' is a required property"),
    ],
)
def test_manifest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], message: str
) -> None:
    assert f"{tmp_path}/manifest.yml: {message}" in refused(tmp_path, capsys, changes)


def test_no_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "--log", "-", str(tmp_path / "none.yml")]) == 1
    assert "does not point to a file" in capsys.readouterr().err
    (tmp_path / "empty.yml").touch()
    assert main(["build", "--log", "-", str(tmp_path / "empty.yml")]) == 1
    assert "empty.yml: None is not of type 'object'" in capsys.readouterr().err
    (tmp_path / "bad.yml").write_text("a: [\n")
    assert main(["build", "--log", "-", str(tmp_path / "bad.yml")]) == 1
    assert "bad.yml: not valid YAML" in capsys.readouterr().err


def test_not_root(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "building an image needs root" in refused(tmp_path, capsys)


def test_dry_run_needs_no_root(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda program: None)
    assert main(["build", "--dry-run", "--log", "-", str(write(tmp_path))]) == 0
    said = capsys.readouterr().err
    assert "Creating a sparse volume ... " in said
    assert "Making the volume sparse ... " in said
    assert "loopback volume ..." not in said  # bootstrap-vz's own task is replaced
    assert not (tmp_path / "images").exists()


def test_missing_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = {"debootstrap", "mkfs.ext4", "losetup", "mount"}
    monkeypatch.setattr(
        shutil, "which", lambda program: None if program in missing else f"/usr/bin/{program}"
    )
    said = refused(tmp_path, capsys)
    assert (
        "missing programs: debootstrap (package debootstrap), losetup (package mount), "
        "mkfs.ext4 (package e2fsprogs), mount (package mount)"
    ) in said


def test_an_image_of_that_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "image.raw").write_text("somebody's only copy")
    assert f"{tmp_path}/images/image.raw: already exists" in refused(tmp_path, capsys)
    assert (tmp_path / "images" / "image.raw").read_text() == "somebody's only copy"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a/b", "contains a slash"),
        ("../image", "contains a slash"),
        ("/image", "contains a slash"),
        ("..", "is not a plain file name"),
        ("a\nb", "is not a plain file name"),
        ("a\x1b[31m", "is not a plain file name"),
        ("é" * 127, "is too long"),
        ("{system.nonesuch}", "unknown placeholder"),
        ("{", "unknown placeholder or wrong syntax"),
    ],
)
def test_names_that_no_file_can_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, reason: str
) -> None:
    line = refused(tmp_path, capsys, {"name": name})
    assert f"{tmp_path}/manifest.yml: name: " in line and reason in line


def test_a_name_with_a_placeholder_that_has_a_slash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"name": "debian-{system.timezone}", "system.timezone": "Europe/Paris"}
    assert "name: 'debian-Europe/Paris' contains a slash" in refused(tmp_path, capsys, changes)


@pytest.mark.parametrize("place", ["images", "."])
@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_a_workspace_that_other_users_can_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: int, place: str
) -> None:
    workspace = tmp_path / "outer" / "images"
    workspace.mkdir(parents=True)
    (tmp_path / "outer").chmod(0o755)
    workspace.chmod(0o755)
    changed = (tmp_path / "outer" / place).resolve()
    changed.chmod(mode)
    changes = {"bootstrapper.workspace": str(workspace)}
    assert (
        f"bootstrapper.workspace: {changed} is writable by other users (mode {mode:04o}) "
        "(use a folder that only root can write)"
    ) in refused(tmp_path, capsys, changes)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_a_workspace_of_another_user(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "images").mkdir()
    os.chown(tmp_path / "images", 65533, -1)
    reason = f"bootstrapper.workspace: {tmp_path}/images belongs to user 65533"
    assert reason in refused(tmp_path, capsys)
    os.chown(tmp_path / "manifest.yml", 65533, -1)  # its commands are run as root anyway
    assert preflight.unsafe_workspace(tmp_path / "images", tmp_path / "manifest.yml") is None


def test_a_workspace_with_the_sticky_bit(tmp_path: Path) -> None:
    manifest = write(tmp_path)
    tmp_path.chmod(0o1777)
    assert preflight.unsafe_workspace(tmp_path, manifest) is None
    assert preflight.unsafe_workspace(tmp_path / "new" / "images", manifest) is None


def test_a_workspace_of_that_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "randrange", lambda limit: 0xC0FFEE)
    (tmp_path / "images" / "00c0ffee").mkdir(parents=True)
    assert f"{tmp_path}/images/00c0ffee: already exists" in refused(tmp_path, capsys)


def test_debootstrap_does_not_know_the_release(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "DEBOOTSTRAP_SCRIPTS", tmp_path)
    assert "system.release: bookworm is unknown to this host's debootstrap" in refused(
        tmp_path, capsys
    )


def test_files_that_nobody_brings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    docker = {"version": "1.11.2"}
    said = refused(tmp_path, capsys, {"plugins": {"docker_daemon": docker}})
    assert "AddDockerInit: init.d/docker is missing" in said


def test_log_folder_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["build", "--log", str(tmp_path / "file" / "log"), str(write(tmp_path))]) == 1
    assert f"{tmp_path}/file/log/" in capsys.readouterr().err
    assert not (tmp_path / "images").exists()


def test_a_size_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = {"volume.partitions.root.size": "2 apples"}
    assert "volume.partitions: " in refused(tmp_path, capsys, changes)


def test_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["build"], ["build", "--nonsense", "x"], ["build", "--color=x", "y"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
