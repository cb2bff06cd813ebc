"""Small builds with real mkfs, loop devices and mounts; failing at each task in turn, too.

debootstrap and chroot are fakes: what is in the image does not matter here.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bootstrapvz_sparse.cli import main
from bootstrapvz_sparse.image.extents import allocated
from tests.support.manifests import write
from tests.support.mounting import run
from tests.support.small import tasks_of

pytestmark = [pytest.mark.loop, pytest.mark.usefixtures("fakes")]

TESTS = Path(__file__).parent.parent
SCHEMA = TESTS.parent / "docs" / "ledger.schema.json"
CHANGES = {
    "system.bootloader": "none",
    "volume.partitions": {"type": "none", "root": {"filesystem": "ext4", "size": "64MiB"}},
}
BLOCK = {"reclaim": "discard", "limit": {"allocated": "1GiB"}, "report": "report.json"}


def manifest(folder: Path, block: dict[str, Any], **others: Any) -> Path:
    return write(folder, {**CHANGES, "plugins": {"sparse": block, **others}})


ALL = tasks_of({**CHANGES, "plugins": {"sparse": BLOCK}})


def listing(image: Path, folder: Path) -> dict[str, tuple[str, int, int, int, int]]:
    """Each file of the image: type, mode, owner, group and size."""
    point = folder / "mounted"
    point.mkdir()
    run("mount", "-o", "loop,ro", image, point)
    try:
        found = {}
        for path in [point, *point.rglob("*")]:
            status = path.lstat()
            size = status.st_size if path.is_file() else 0
            kind = oct(status.st_mode)
            name = str(path.relative_to(point))
            found[name] = kind, status.st_mode, status.st_uid, status.st_gid, size
        return found
    finally:
        run("umount", point)
        point.rmdir()


def built(folder: Path, block: dict[str, Any], **others: Any) -> Path:
    assert main(["build", "--log", "-", str(manifest(folder, block, **others))]) == 0
    [image] = (folder / "images").glob("*.raw")
    run("e2fsck", "-fn", image)
    return image


@pytest.mark.parametrize("others", [{}, {"minimize_size": {}}], ids=["alone", "minimize_size"])
def test_scratch_leaves_the_files_that_would_be_there(
    tmp_path: Path, others: dict[str, Any]
) -> None:
    files = []
    for name, scratch_folders in (("with", ["/tmp", "/var/cache/apt", "/var/lib/apt/lists"]),
                                  ("without", False)):  # fmt: skip
        folder = tmp_path / name
        folder.mkdir()
        image = built(folder, {"scratch": scratch_folders, "reclaim": "metadata"}, **others)
        files.append(listing(image, tmp_path))
    assert files[0] == files[1]
    assert files[0]["tmp"][1] & 0o7777 == 0o1777
    assert files[0]["var/cache/apt/archives/partial"][1] & 0o7777 == 0o700
    assert ("var/lib/apt/lists/auxfiles" in files[0]) == (not others)  # it has folders of its own
    assert not [name for name in files[0] if name.endswith((".deb", "Packages", "unpacked"))]


def test_what_is_written_to_scratch_never_reaches_the_image(tmp_path: Path) -> None:
    """With nothing reclaimed, all that was ever written is still there."""
    block = {"reclaim": "none", "sparsify": "none", "report": "report.json"}
    peaks = {}
    for name, more in (("with", {}), ("without", {"scratch": False})):
        folder = tmp_path / name
        folder.mkdir()
        built(folder, {**block, **more})
        peaks[name] = json.loads((tmp_path / "report.json").read_text())["peak"]
    # debootstrap's 4 MB and 2, apt's 3 and 5, and 2 in /tmp
    assert peaks["without"] - peaks["with"] > 12_000_000


def test_a_limit_that_is_kept(tmp_path: Path) -> None:
    built(tmp_path, {"limit": {"allocated": "20MiB"}, "report": "report.json"})
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["limit"] == {"allocated": 20 << 20, "tarball": None} and report["notes"] == []
    assert report["image"] == str(tmp_path / "images" / "image.raw")
    assert [stage["stage"] for stage in report["stages"]] == (
        ["created", "built", "sparsified", "moved"]
    )
    assert report["verified"] == [
        "no byte in use has changed",
        "the filesystem: ext4 checks clean",
    ]


def test_no_shell_runs_the_command(tmp_path: Path) -> None:
    command = "echo ; touch one $(touch two) `touch three` >four '' |touch five"
    built(tmp_path, {"sparsify": "command", "sparsify_command": command})
    assert sorted(os.listdir(tmp_path)) == ["images", "manifest.yml"]


def test_copies_of_prebootstrapped_keep_their_holes(tmp_path: Path) -> None:
    for name in ("first", "again"):
        (tmp_path / name).mkdir()
    built(tmp_path / "first", {}, prebootstrapped={})
    [backup] = (tmp_path / "first" / "images").glob("*.backup")
    assert allocated(backup.stat()) < 20 << 20  # of 64 MiB
    settings = {"prebootstrapped": {"image": str(backup)}}
    image = built(tmp_path / "again", {"report": "report.json"}, **settings)
    [created, *_] = json.loads((tmp_path / "report.json").read_text())["stages"]
    assert created["stage"] == "created" and created["allocated"] < 20 << 20
    first = listing(tmp_path / "first" / "images" / "image.raw", tmp_path)
    assert listing(image, tmp_path) == first


def test_moved_from_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TESTS / "support" / "plugins"))
    image = built(tmp_path, {"report": "report.json"}, tmpfs_workspace={})
    *_, moved = json.loads((tmp_path / "report.json").read_text())["stages"]
    assert moved["stage"] == "moved"
    assert moved["allocated"] == allocated(image.stat()) < 8 << 20


@pytest.mark.parametrize(
    ("filesystem", "size"),
    [
        ("ext2", "64MiB"),
        ("ext3", "64MiB"),
        ("ext4", "64MiB"),
        ("xfs", "300MiB"),
        ("btrfs", "256MiB"),
    ],
)
def test_discards_blocks_as_files_are_deleted(
    tmp_path: Path,
    filesystem: str,
    size: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = []

    def look(info: Any) -> None:
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            if line.split()[4] == info.root:
                options.append(line.split()[-1].split(","))

    def watched(cls: Any, info: Any) -> None:
        look(info)
        original(info)

    [unmount] = [task for task in ALL if task.__name__ == "UnmountRoot"]
    original = unmount.run
    monkeypatch.setattr(unmount, "run", classmethod(watched))
    partitions = {"type": "none", "root": {"filesystem": filesystem, "size": size}}
    path = write(tmp_path, {**CHANGES, "volume.partitions": partitions, "plugins": {"sparse": {}}})
    assert main(["build", "--log", "-", str(path)]) == 0
    assert options and "discard" in options[-1]
    # what has no reader is discarded before it is unmounted
    assert ("Discarding free blocks" in capsys.readouterr().err) == (filesystem == "btrfs")
    checks = {"xfs": ["xfs_repair", "-n"], "btrfs": ["btrfs", "check"]}
    [image] = (tmp_path / "images").iterdir()
    check = checks.get(filesystem, ["e2fsck", "-fn"])
    subprocess.run([*check, image], check=True, capture_output=True)


def test_container_that_is_started_during_a_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not inherit the mounts of the build, which would keep its loop device busy."""
    [unmount] = [task for task in ALL if task.__name__ == "UnmountRoot"]
    original = unmount.run
    outside = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    host = ["nsenter", f"--mount=/proc/{os.getpid()}/fd/{outside}", "unshare", "--mount"]
    container = ["--propagation", "private", "sh", "-c", "echo; exec sleep 60"]
    containers = []

    def start_container(cls: Any, info: Any) -> None:
        process = subprocess.Popen([*host, *container], env={}, stdout=subprocess.PIPE)
        containers.append(process)
        assert process.stdout and process.stdout.readline() == b"\n"
        assert os.path.ismount(info.root)
        original(info)

    monkeypatch.setattr(unmount, "run", classmethod(start_container))
    try:
        built(tmp_path, {"report": "report.json"})
        assert containers[0].poll() is None
    finally:
        os.close(outside)
        for process in containers:
            process.kill()
            process.communicate()
    assert json.loads((tmp_path / "report.json").read_text())["notes"] == []


def test_images_are_not_writable_by_others(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        image = built(tmp_path, {})
    finally:
        os.umask(umask)
    assert image.stat().st_mode & 0o777 == 0o644
