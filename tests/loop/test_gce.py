"""Small builds for Google Compute Engine: the tarball, what is uploaded, and what is refused."""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from bootstrapvz.common.tasks import workspace
from bootstrapvz.providers.gce.tasks import image as gce

from bootstrapvz_sparse.cli import main
from bootstrapvz_sparse.plugin.tasks import tarball
from tests.support.manifests import write
from tests.support.mounting import run
from tests.support.small import Failure, nothing_is_left

pytestmark = [
    *(pytest.mark.loop, pytest.mark.usefixtures("fakes")),
    pytest.mark.xdist_group("partition-nodes"),
]

ROOT = {"filesystem": "ext4", "size": "1GiB"}
PARTITIONS = {"type": "msdos", "root": ROOT}
SCHEMA = Path(__file__).parent.parent.parent / "docs" / "ledger.schema.json"


def manifest(folder: Path, **changes: Any) -> Path:
    return write(
        folder,
        {
            "name": "debian-{system.release}",
            "provider": {"name": "gce"},
            "system.bootloader": "grub",
            "volume.partitions": PARTITIONS,
            **{key.replace("__", "."): value for key, value in changes.items()},
        },
    )


def build(path: Path) -> int:
    return main(["build", "--log", "-", "--partition-mapper", "loop", str(path)])


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Fakes for gsutil and gcloud, and the file that they write their arguments to."""
    folder, said = tmp_path / "bin", tmp_path / "said"
    folder.mkdir()
    for program in ("gsutil", "gcloud"):
        (folder / program).write_text(
            f'#!/bin/sh\nfor each in {program} "$@"; do echo "$each" >>{said}; done\n'
            f'[ {program} = gcloud ] || [ -f "$2" ]\n'
        )
        (folder / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return said


def test_the_tarball(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    block = {"limit": {"tarball": "20MiB"}, "tarball": {"level": 1}, "report": "report.json"}
    assert build(manifest(tmp_path, plugins={"sparse": block})) == 0
    path = tmp_path / "images" / "debian-bookworm.tar.gz"
    assert list((tmp_path / "images").iterdir()) == [path]  # the raw image was not asked for
    assert f"The tarball has been placed at {path}" in capsys.readouterr().err
    assert main(["check", str(path)]) == 0
    with tarfile.open(path) as archive:
        assert archive.getnames() == ["disk.raw"]
    report = json.loads((tmp_path / "report.json").read_text())
    jsonschema.validate(report, json.loads(SCHEMA.read_text()))
    assert (report["image"], report["tarball"]) == (None, str(path))
    assert report["stages"][-1]["stage"] == "packed"
    assert report["stages"][-1]["apparent"] == path.stat().st_size
    assert report["limit"] == {"allocated": None, "tarball": 20 << 20}
    assert report["verified"][-1] == "the tarball holds the image"
    run("tar", "-C", tmp_path, "-xzf", path)
    table = json.loads(run("sfdisk", "--json", tmp_path / "disk.raw"))["partitiontable"]
    [partition] = table["partitions"]
    root = f"{tmp_path}/disk.raw?offset={partition['start'] * 512}"
    run("e2fsck", "-fn", root)
    assert "ssh_host" not in run("debugfs", "-R", "ls /etc/ssh", root)


def test_uploaded_and_registered(tmp_path: Path, cloud: Path) -> None:
    provider = {"name": "gce", "gcs_destination": "gs://bucket/", "gce_project": "project"}
    assert build(manifest(tmp_path, provider=provider)) == 0
    path = tmp_path / "images" / "debian-bookworm.tar.gz"
    assert cloud.read_text().splitlines() == [
        *("gsutil", "cp", str(path), "gs://bucket/debian-bookworm.tar.gz"),
        *("gcloud", "compute", "--project=project", "images", "create", "debian-bookworm"),
        *("--source-uri=gs://bucket/debian-bookworm.tar.gz", "--description=Debian"),
    ]


def test_too_large(tmp_path: Path, cloud: Path, capsys: pytest.CaptureFixture[str]) -> None:
    block = {"limit": {"tarball": "1MiB"}, "report": "report.json"}
    provider = {"name": "gce", "gcs_destination": "gs://bucket/", "gce_project": "project"}
    assert build(manifest(tmp_path, provider=provider, plugins={"sparse": block})) == 1
    assert re.search(
        r"error: plugins\.sparse\.limit\.tarball: the tarball has \d\.\d MiB, \d\.\d MiB more than "
        r"1\.0 MiB$",
        capsys.readouterr().err.rstrip(),
    )
    assert not cloud.exists()
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["image"], report["tarball"]) == (None, None)
    assert report["stages"][-1]["stage"] == "packed"
    nothing_is_left(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"volume__partitions": {**PARTITIONS, "root": {**ROOT, "size": "1500MiB"}}},
            "volume.partitions: the disk has 1572864000 bytes; Compute Engine wants a whole "
            "number of GiB (574619648 bytes more, 548.0 MiB)",
        ),
        ({"name": "1st"}, "name: 1st is not a valid Compute Engine image name"),
        ({"name": "debian_12"}, "name: debian_12 is not a valid Compute Engine image name"),
        ({"name": "d" * 64}, f"name: {'d' * 64} is not a valid Compute Engine image name"),
        ({"name": "debian-"}, "name: debian- is not a valid Compute Engine image name"),
    ],
)
def test_refused_before_anything_is_created(
    tmp_path: Path, changes: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert build(manifest(tmp_path, **changes)) == 1
    said = capsys.readouterr().err
    assert message in said.splitlines()[-1]
    assert "Creating a sparse volume" not in said
    nothing_is_left(tmp_path)


@pytest.mark.parametrize(
    ("task", "at_its_end"),
    [
        (tarball.CreateTarball, False),
        (tarball.CreateTarball, True),
        (gce.UploadImage, False),
        (workspace.DeleteWorkspace, False),
    ],
    ids=repr,
)
def test_failures(
    task: Any, at_its_end: bool, tmp_path: Path, cloud: Path, fails: Callable[..., None]
) -> None:
    provider = {"name": "gce", "gcs_destination": "gs://bucket/"}
    fails(task, Failure("on purpose"), at_its_end=at_its_end)
    assert build(manifest(tmp_path, provider=provider)) == 1
    names = [path.name for path in (tmp_path / "images").iterdir()]
    tarball_name = "debian-bookworm.tar.gz"
    if task is not tarball.CreateTarball:
        assert names == [tarball_name]  # the image is deleted anyway
        assert main(["check", str(tmp_path / "images" / tarball_name)]) == 0
    elif at_its_end:  # that it was done is not known
        assert sorted(names) == sorted(["debian-bookworm.raw", tarball_name])
    else:
        assert names == ["debian-bookworm.raw"]


def test_pigz_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "pigz").write_text("#!/bin/sh\nkill -9 $$\n")
    (folder / "pigz").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    assert build(manifest(tmp_path)) == 1
    *_, reason, kept = capsys.readouterr().err.splitlines()
    assert "pigz failed (-9)" in reason
    image = tmp_path / "images" / "debian-bookworm.raw"
    assert kept == f"the finished image is kept: {image}" and image.exists()
