"""A mount namespace of a build's own: who sees what is mounted in it, and when that ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrapvz_sparse.util.mounts import mounts
from bootstrapvz_sparse.util.namespace import private_mounts
from tests.support.mounting import run

pytestmark = pytest.mark.loop

# Mounts in a namespace of its own, says so, and waits to be killed.
WAITING = """
import subprocess, sys, time
from bootstrapvz_sparse.util.namespace import private_mounts
with private_mounts():
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", sys.argv[1]], check=True)
    print("here", flush=True)
    time.sleep(60)
"""

# The same in a chroot whose root is not a mount point.
IN_CHROOT = """
import os, sys
from bootstrapvz_sparse.util.namespace import private_mounts, _call
from bootstrapvz_sparse.util.mounts import mounts
os.chroot(sys.argv[1])
os.chdir("/inside")
with private_mounts():
    assert os.getcwd() == "/inside" and sorted(os.listdir("/")) == sys.argv[2].split()
    _call("mount", b"tmpfs", b"/inside", b"tmpfs", 0, None)
    assert [mount.point for mount in mounts()][-1] == "/inside"
    print(open("/proc/1/mountinfo").read().count(f"{sys.argv[1]}/inside"))
assert os.getcwd() == "/inside" and sorted(os.listdir("/")) == sys.argv[2].split()
"""


@pytest.fixture
def point(tmp_path: Path) -> Path:
    """A mount point below a shared mount, as systemd makes all of them."""
    run("mount", "-t", "tmpfs", "tmpfs", tmp_path)
    run("mount", "--make-shared", tmp_path)
    folder = tmp_path / "a mount point"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def unmounted(tmp_path: Path) -> Iterator[None]:
    yield
    subprocess.run(["umount", "--recursive", tmp_path], capture_output=True)


@pytest.fixture
def outside() -> Iterator[str]:
    """The path of the namespace that the test begins in."""
    with open("/proc/self/ns/mnt", "rb") as file:
        yield f"/proc/{os.getpid()}/fd/{file.fileno()}"


def test_mounts_are_not_seen_elsewhere(
    point: Path, outside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(point)
    before = mounts()
    with private_mounts():
        assert Path.cwd() == point
        run("mount", "-t", "tmpfs", "tmpfs", point)
        assert mounts()[-1].point == str(point)
        seen = run("nsenter", f"--mount={outside}", "cat", "/proc/self/mountinfo")
        assert "a\\040mount" not in seen
    assert mounts() == before and Path.cwd() == point and not os.path.ismount(point)


def test_mounts_of_others_are_not_inherited(point: Path, outside: str) -> None:
    with private_mounts():
        run("nsenter", f"--mount={outside}", "mount", "-t", "tmpfs", "x", point)
        assert not os.path.ismount(point)
    assert os.path.ismount(point)


def test_returns_while_a_thread_runs() -> None:
    """As the one that watches the peak of an image."""
    stop, before = threading.Event(), os.readlink("/proc/self/ns/mnt")
    with private_mounts():
        thread = threading.Thread(target=stop.wait)
        thread.start()
    namespace = os.readlink("/proc/self/ns/mnt")
    stop.set()
    thread.join()
    assert namespace == before


def test_ends_with_its_last_process(point: Path) -> None:
    command = [sys.executable, "-c", WAITING, point]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout and process.stdout.readline() == "here\n"
            assert mounts(process.pid)[-1].point == str(point)
        finally:
            process.kill()
    assert str(point) not in [mount.point for mount in mounts()]
    run("umount", point.parent)  # nothing keeps it busy


def test_chroot_that_is_no_mount_point(point: Path) -> None:
    root = point / "root"
    for name in ("inside", "proc"):
        (root / name).mkdir(parents=True)
    run("mount", "-t", "proc", "proc", root / "proc")
    command = [sys.executable, "-c", IN_CHROOT, root, "inside proc"]
    try:
        assert run(*command).strip() == "0"
        assert not os.path.ismount(root / "inside")
    finally:
        run("umount", root / "proc")


def test_refused_without_the_right(tmp_path: Path) -> None:
    drop = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]
    command = [*drop, sys.executable, "-c", WAITING, tmp_path]
    result = subprocess.run(command, capture_output=True, text=True)
    assert "PermissionError: [Errno 1] unshare: Operation not permitted" in result.stderr
