"""Builds that were killed, and what ``bvz-sparse clean`` undoes of them, and nothing else."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrapvz_sparse.builder import leftovers
from bootstrapvz_sparse.builder.record import path_of
from bootstrapvz_sparse.cli import main
from bootstrapvz_sparse.upstream import loop_partitions
from bootstrapvz_sparse.util.holders import holders
from bootstrapvz_sparse.util.mounts import mounts
from bootstrapvz_sparse.util.temporary import temporary
from tests.loop.test_partition_mapper import changes
from tests.support.manifests import write
from tests.support.mounting import attached, mounted
from tests.support.small import nothing_is_left
from tests.support.unable import unable

pytestmark = [
    *(pytest.mark.loop, pytest.mark.usefixtures("fakes")),
    pytest.mark.xdist_group("partition-nodes"),
]

# Says so at the beginning or the end of a task, and waits to be killed there.
STOPPING = """
import sys, time
from bootstrapvz_sparse import cli, upstream
upstream.install()
import bootstrapvz.base.tasklist as tasklist
module, name, when, *arguments = sys.argv[1:]
load = tasklist.load_tasks
def stopping(function, *others):
    tasks = load(function, *others)
    for task in tasks:
        if (task.__module__, task.__name__) == (module, name):
            run = task.run
            def stop(info):
                if when == 'end':
                    run(info)
                print('here', flush=True)
                time.sleep(60)
            task.run = stop
    return tasks
tasklist.load_tasks = stopping
sys.exit(cli.main(arguments))
"""
MAP = ("bootstrapvz.common.tasks.partitioning", "MapPartitions", "end")


@pytest.fixture(autouse=True)
def undone(tmp_path: Path) -> Iterator[None]:
    """Undo the builds of a test, even if it fails."""
    yield
    for path in tmp_path.glob("images/.*.bvz-sparse"):
        leftovers.undo(path.parent / path.name.split(".")[1])


@contextlib.contextmanager
def build(folder: Path, at: tuple[str, str, str], *options: str) -> Iterator[subprocess.Popen[str]]:
    """A build of partitions that waits at a task; killed at the end at the latest."""
    if not shutil.which("parted"):
        unable("parted is not there")
    manifest = write(folder, changes("msdos"))
    arguments = ["build", "--log", "-", "--partition-mapper", "loop", *options, str(manifest)]
    with subprocess.Popen(
        [sys.executable, "-c", STOPPING, *at, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    ) as process:
        assert process.stdout
        try:
            assert process.stdout.readline() == "here\n"
            yield process
        finally:
            process.kill()


def killed(folder: Path, at: tuple[str, str, str]) -> Path:
    """The folder of the run of a build that was killed."""
    with build(folder, at) as process:
        process.kill()
    return run_of(folder)


def run_of(folder: Path) -> Path:
    """The folder of the only run that has a record."""
    [path] = (folder / "images").glob(".*.bvz-sparse")
    return path.parent / path.name.split(".")[1]


def devices_mounted_by(process: int, point: Path) -> list[str]:
    return [mount.source for mount in mounts(process) if mount.point == str(point)]


def cleaned(workspace: Path, capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    capsys.readouterr()
    assert main(["clean", *options, str(workspace)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return said.out.splitlines()


@pytest.mark.parametrize(
    "at",
    [
        ("bootstrapvz.common.tasks.workspace", "CreateWorkspace", "beginning"),
        ("bootstrapvz.common.tasks.volume", "Attach", "end"),
        MAP,
        ("bootstrapvz.common.tasks.filesystem", "MountSpecials", "end"),
        ("bootstrapvz_sparse.plugin.tasks.scratch", "Unbind", "beginning"),
        ("bootstrapvz.common.tasks.partitioning", "UnmapPartitions", "end"),
        ("bootstrapvz_sparse.plugin.tasks.move", "MoveSparse", "beginning"),
        ("bootstrapvz.common.tasks.workspace", "DeleteWorkspace", "end"),
    ],
    ids=lambda at: f"{at[1]}-{at[2]}",
)
def test_killed_at_a_task(
    at: tuple[str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = killed(tmp_path, at)
    before = leftovers.find_leftovers(folder)
    wanted = [f"would {one.verb} {one.name}" for one in before]
    plan = cleaned(folder.parent, capsys, "--dry-run")
    assert plan == [
        *wanted,
        f"would delete {path_of(folder)}",
        *[line for line in plan if line.endswith(" if it is empty then")],
    ]
    assert leftovers.find_leftovers(folder) == before and path_of(folder).exists()
    done = cleaned(folder.parent, capsys)
    assert done[: len(before) + 1] == [
        *[f"{one.past} {one.name}" for one in before],
        f"deleted {path_of(folder)}",
    ]
    assert leftovers.find_leftovers(folder) == []
    if at[1] == "DeleteWorkspace":
        assert os.listdir(folder.parent) == ["image.raw"]
        assert cleaned(folder.parent, capsys) == ["nothing to clean"]
    else:
        assert not folder.parent.exists() and done[-1] == f"deleted {folder.parent}"


def test_what_a_mapped_build_leaves(tmp_path: Path) -> None:
    folder = killed(tmp_path, ("bootstrapvz.common.tasks.filesystem", "MountSpecials", "end"))
    verbs = [one.verb for one in leftovers.find_leftovers(folder)]
    # its mounts have ended with it; the volume and three partitions, each of these with a node
    assert verbs.count("unmount") == 0 and verbs.count("detach") == 4
    assert len(loop_partitions.device_links(folder.name)) >= 4
    assert leftovers.undo(folder) == []
    path_of(folder).unlink()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_roll_back(number: signal.Signals, tmp_path: Path) -> None:
    with build(tmp_path, MAP) as process:
        folder = run_of(tmp_path)
        assert len(loop_partitions.device_links(folder.name)) == 3
        process.send_signal(number)
        process.send_signal(number)  # while the first is dealt with
        _, said = process.communicate()
    assert said.endswith(f"bvz-sparse: error: interrupted by {number.name}\n"), said
    assert "Traceback" not in said and process.returncode == 1
    nothing_is_left(tmp_path)
    assert leftovers.find_leftovers(folder) == []


def test_a_build_that_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with build(tmp_path, MAP) as process:
        folder = run_of(tmp_path)
        before = leftovers.find_leftovers(folder)
        for options in ([], ["--dry-run"]):
            assert cleaned(folder.parent, capsys, *options) == [
                f"{path_of(folder)}: left alone: the build still runs",
                "nothing to clean",
            ]
        assert leftovers.find_leftovers(folder) == before and process.poll() is None
    cleaned(folder.parent, capsys)
    nothing_is_left(tmp_path)


def test_programs_of_the_build(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ended wherever they run, and only those of this build."""
    folder = killed(tmp_path, ("bootstrapvz.common.tasks.volume", "Attach", "end"))
    environment = {**os.environ, leftovers.MARK: str(folder)}
    stubborn = ["sh", "-c", "trap '' TERM; echo; while :; do sleep 0.1; done"]
    ours = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, start_new_session=True)
        for command in (["sh", "-c", "echo; exec sleep 60"], stubborn)
    ]
    others = [
        subprocess.Popen(["sleep", "60"], env={**os.environ, leftovers.MARK: f"{value}"})
        for value in (f"{folder}0", folder.parent, "")
    ]
    try:
        for process in ours:
            assert process.stdout and process.stdout.readline()
        assert {process.pid for process in ours} <= set(leftovers.processes(folder))
        leftovers.end_processes(folder, patience=0.5)
        assert [process.wait() for process in ours] == [-signal.SIGTERM, -signal.SIGKILL]
        cleaned(folder.parent, capsys)
        assert [process.poll() for process in others] == [None, None, None]
    finally:
        for process in (*ours, *others):
            process.kill()
            process.communicate()
    nothing_is_left(tmp_path)


def test_what_serves_the_volume_ends_last(tmp_path: Path) -> None:
    folder = tmp_path / "0123abcd"
    folder.mkdir()
    program = tmp_path / "qemu-nbd"
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen(
        [program, "60"], env={**os.environ, leftovers.MARK: str(folder)}
    ) as process:
        try:
            while leftovers.processes(folder) != {process.pid: "qemu-nbd"}:
                assert process.poll() is None
            leftovers.end_processes(folder, leftovers.SERVERS)
            assert process.poll() is None
            assert leftovers.undo(folder) == []
            assert process.wait() == -signal.SIGTERM
        finally:
            process.kill()


def test_what_others_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = killed(tmp_path, MAP)
    workspace = folder.parent
    image, other = workspace / "finished.raw", workspace / "89abcdef"
    image.write_bytes(bytes(1 << 20))
    stale = workspace / ".finished.raw.abcd1234.bvz-sparse"
    stale.touch()
    other.mkdir()
    (other / "file").touch()
    with (
        attached(image) as device,
        mounted("tmpfs", other, 1 << 20) as point,
        temporary(image) as held,
    ):
        stale.touch()
        said = cleaned(workspace, capsys)
        assert f"deleted {stale}" in said
        assert said[-1] == f"{other}: left alone: it has no record; in use: {point}"
        assert device in leftovers.loop_devices(workspace) and os.path.ismount(point)
        assert sorted(os.listdir(workspace)) == sorted([held.path.name, other.name, image.name])
        assert (other / "file").exists()


def test_a_shell_in_the_mounts_of_a_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named and left alone, with the files that it uses; later the rest is removed."""
    with build(tmp_path, ("bootstrapvz.common.tasks.filesystem", "MountRoot", "end")) as killed:
        folder = run_of(tmp_path)
        enter = ["nsenter", f"--mount=/proc/{killed.pid}/ns/mnt", "sh", "-c", "echo; exec sleep 60"]
        shell = subprocess.Popen(enter, stdout=subprocess.PIPE)
        assert shell.stdout and shell.stdout.readline() == b"\n"
        assert holders(*devices_mounted_by(killed.pid, folder / "root"))
        killed.kill()
    capsys.readouterr()
    try:
        assert main(["clean", str(folder.parent)]) == 1
        assert shell.poll() is None
    finally:
        shell.kill()
        shell.communicate()
    error = capsys.readouterr().err
    assert re.search(
        rf"^bvz-sparse: error: /dev/loop\d+: still attached, used by sleep \(PID {shell.pid}\), "
        rf"mounted on {folder}/root \(end that program\)$",
        error,
        re.M,
    )
    assert path_of(folder).exists() and (folder / "volume.raw").exists()
    cleaned(folder.parent, capsys)
    nothing_is_left(tmp_path)
