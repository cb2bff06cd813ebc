"""Small builds that fail: what they report, what they undo, and which image they keep."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from bootstrapvz.base.main import run as bootstrap
from bootstrapvz.base.manifest import Manifest
from bootstrapvz.common import phases
from bootstrapvz.common.tasks import volume

from bootstrapvz_sparse.cli import main
from bootstrapvz_sparse.plugin.tasks import scratch
from bootstrapvz_sparse.util import loop
from tests.loop.test_small_builds import ALL, BLOCK, CHANGES, SCHEMA, manifest
from tests.support.small import Failure, kept_image, nothing_is_left, tasks_of

pytestmark = [pytest.mark.loop, pytest.mark.usefixtures("fakes")]

OURS = [
    *[task for task in ALL if task.__module__.startswith("bootstrapvz_sparse")],
    *[
        task
        for task in tasks_of({**CHANGES, "plugins": {"sparse": {"reclaim": "zerofree"}}})
        if task.__name__ == "Zerofree"
    ],
]


@pytest.mark.parametrize("task", ALL, ids=repr)
def test_by_the_rollback_of_bootstrap_vz_itself(
    task: Any, tmp_path: Path, fails: Callable[..., None]
) -> None:
    """As with the maintained fork, where nobody sweeps after it: a failure between two tasks."""
    fails(task, Failure("on purpose"), at_its_end=False)
    parsed = Manifest(path=str(manifest(tmp_path, BLOCK)))
    with pytest.raises(Failure, match="on purpose"):
        bootstrap(parsed)
    if ALL.index(task) <= ALL.index(volume.Detach):
        nothing_is_left(tmp_path)
    else:
        moved = task.phase > phases.image_registration
        name = "image.raw" if moved else "[0-9a-f]{8}.raw"
        assert re.fullmatch(name, kept_image(tmp_path).name)


@pytest.mark.parametrize("task", OURS, ids=lambda task: task.__name__)
def test_interrupted_in_a_task_of_ours(
    task: Any, tmp_path: Path, fails: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    block = BLOCK if task in ALL else {"reclaim": "zerofree"}
    fails(task, KeyboardInterrupt(), at_its_end=True)
    assert main(["build", "--log", "-", str(manifest(tmp_path, block))]) == 1
    assert capsys.readouterr().err.endswith("bvz-sparse: error: interrupted\n")
    nothing_is_left(tmp_path)


def test_binding_that_fails_half_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = scratch._copy, []

    def failing(*, source: Path, destination: Path) -> None:
        calls.append(source)
        if len(calls) == 3:
            raise Failure("on purpose")
        original(source=source, destination=destination)

    monkeypatch.setattr(scratch, "_copy", failing)
    with pytest.raises(Failure):
        bootstrap(Manifest(path=str(manifest(tmp_path, {}))))
    nothing_is_left(tmp_path)


def test_a_limit_that_is_not_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    block = {"limit": {"allocated": "3MiB"}, "report": "report.json"}
    assert main(["build", "--log", "-", str(manifest(tmp_path, block))]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert re.match(
        r"bvz-sparse: error: plugins\.sparse\.limit\.allocated: the image occupies 4\.\d MiB, "
        r"1\.\d MiB more than 3\.0 MiB; largest folders: /usr/bin 3\.\d MiB, ",
        lines[-1],
    )
    assert lines.index("Rolling back") > next(
        i for i, line in enumerate(lines) if line.startswith("sparsified")
    )
    report = json.loads((tmp_path / "report.json").read_text())
    jsonschema.validate(report, json.loads(SCHEMA.read_text()))
    assert report["image"] is None and report["stages"][-1]["stage"] == "sparsified"
    assert report["notes"] == [lines[-1].removeprefix("bvz-sparse: error: ")]
    nothing_is_left(tmp_path)


def test_a_report_that_nobody_can_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    path = manifest(tmp_path, {"report": "file/report.json"})
    assert main(["build", "--log", "-", str(path)]) == 1
    said = capsys.readouterr().err
    assert "plugins.sparse.report" in said.splitlines()[-1]
    assert "Creating a sparse volume" not in said


def test_a_command_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    block = {"sparsify": "command", "sparsify_command": "no-such-program --fast"}
    assert main(["build", "--log", "-", str(manifest(tmp_path, block))]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("plugins.sparse.sparsify_command: no-such-program not found (install it)")


def test_a_command_that_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    block = {"sparsify": "command", "sparsify_command": "false"}
    assert main(["build", "--log", "-", str(manifest(tmp_path, block))]) == 1
    *_, reason, kept = capsys.readouterr().err.splitlines()
    assert "false failed (1)" in reason
    assert kept == f"the image is kept as it is: {kept_image(tmp_path)}"


def test_a_command_that_changes_the_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    block = {"sparsify": "command", "sparsify_command": "truncate --size=-4096"}
    assert main(["build", "--log", "-", str(manifest(tmp_path, block))]) == 1
    assert "the size was 67108864 bytes and is now 67104768" in capsys.readouterr().err
    nothing_is_left(tmp_path)


def test_never_over_an_image_that_has_come_meanwhile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    [move] = [task for task in ALL if task.__name__ == "MoveSparse"]
    original, image = move.run, tmp_path / "images" / "image.raw"

    def later(cls: Any, info: Any) -> None:
        image.write_text("somebody's")
        original(info)

    monkeypatch.setattr(move, "run", classmethod(later))
    assert main(["build", "--log", "-", str(manifest(tmp_path, {}))]) == 1
    *_, reason, kept = capsys.readouterr().err.splitlines()
    assert str(image) in reason and image.read_text() == "somebody's"
    image.unlink()
    assert kept == f"the finished image is kept: {kept_image(tmp_path)}"


def test_a_folder_that_is_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = scratch._make

    def with_link(root: Path, folder: str) -> None:
        (root / "srv").symlink_to("/var")
        make(root, folder)

    monkeypatch.setattr(scratch, "_make", with_link)
    with pytest.raises(Exception, match=r"plugins\.sparse\.scratch: .*/srv is a symbolic link"):
        bootstrap(Manifest(path=str(manifest(tmp_path, {"scratch": ["/srv/x"]}))))
    nothing_is_left(tmp_path)


def test_program_that_keeps_the_device_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is waited for, named, and left alone; the image is kept."""
    original, users = volume.Detach.run, []

    def use(cls: Any, info: Any) -> None:
        with open(info.volume.device_path, "rb") as device:
            users.append(subprocess.Popen(["sleep", "60"], env={}, stdin=device))
        original(info)

    monkeypatch.setattr(volume.Detach, "run", classmethod(use))
    monkeypatch.setattr(loop, "PATIENCE", 0.5)
    try:
        assert main(["build", "--log", "-", str(manifest(tmp_path, {}))]) == 1
        *_, reason, kept = capsys.readouterr().err.splitlines()
        assert users[0].poll() is None
    finally:
        for process in users:
            process.kill()
            process.wait()
    assert re.search(
        r"volume\.raw: still attached to /dev/loop\d+, used by sleep "
        rf"\(PID {users[0].pid}\) \(end that program\)$",
        reason,
    )
    assert kept == f"the image is kept as it is: {kept_image(tmp_path)}"
