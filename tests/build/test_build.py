"""Whole builds: real debootstrap, real loop devices, booted in QEMU. Minutes each."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import bootstrapvz_sparse
from bootstrapvz_sparse.builder import leftovers
from bootstrapvz_sparse.image.extents import allocated
from bootstrapvz_sparse.util.mounts import mounts
from tests.build.base import COMMAND, MANIFESTS, build, manifest_of
from tests.build.boot import boot
from tests.build.conftest import Built
from tests.build.tree import differences, tree
from tests.support.e2fsprogs import debugfs
from tests.support.manifests import write
from tests.support.mounting import fill, mounted

pytestmark = [pytest.mark.build, pytest.mark.timeout(1200)]

ASSETS = Path(bootstrapvz_sparse.__file__).parent / "upstream" / "assets"


@pytest.fixture(
    params=[
        pytest.param("bookworm", marks=pytest.mark.xdist_group("bookworm")),
        pytest.param("trixie", marks=[pytest.mark.xdist_group("trixie"), pytest.mark.long]),
    ]
)
def built(request: pytest.FixtureRequest, built_release: Callable[[str], Built]) -> Built:
    return built_release(request.param)


def show(image: Path, request: str) -> str:
    done = subprocess.run(["debugfs", "-R", request, image], capture_output=True, text=True)
    return done.stdout + done.stderr.partition("\n")[2]


def nothing_is_left(folder: Path) -> bool:
    return not (
        leftovers.mounts(folder) or leftovers.loop_devices(folder) or leftovers.processes(folder)
    )


def test_nothing_is_left(built: Built) -> None:
    assert nothing_is_left(built.folder)
    ours = {"before.raw", "installed.backup", "manifest.yml", "messages", "report.json"}
    assert {path.name for path in built.folder.iterdir()} - ours == {"images", "log"}


def test_ledger(built: Built) -> None:
    lines = built.messages.splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[:1] == ["stage"])
    stages = [line.split()[0] for line in lines[start + 1 :]]
    # and no remark: nothing was left alone
    proved = ["verified:", "verified:"]
    assert stages == ["created", "built", "sparsified", "moved", "peak", "on", *proved, "done"]
    report = json.loads((built.folder / "report.json").read_text())
    assert report["peak"] <= 1.1 * report["stages"][1]["allocated"]
    assert re.match(r"created +2\.0 GiB +0 B ", lines[start + 1])
    assert re.search(r"^  Installing packages \.\.\. \d+\.\d s$", built.messages, re.M)


def test_clean(built: Built) -> None:
    subprocess.run(["e2fsck", "-fn", built.image], check=True, capture_output=True)


def test_no_larger_than_by_the_peers(built: Built, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["zerofree", built.before], check=True)
    subprocess.run(["cp", "--sparse=always", "--reflink=never", built.before, copy], check=True)
    os.sync()
    assert allocated(built.image.stat()) <= allocated(copy.stat())


def test_content(built: Built) -> None:
    image = built.image
    assert "ssh_host" not in show(image, "ls -l /etc/ssh")
    assert "sshd_config" in show(image, "ls -l /etc/ssh")
    assert show(image, "cat /etc/machine-id") == ""
    assert "Type: symlink" in show(image, "stat /etc/mtab")
    assert "virtio_blk" in show(image, "cat /etc/initramfs-tools/modules")
    assert re.search(r"debian-security \w+-security main", show(image, "cat /etc/apt/sources.list"))
    assert ".deb" not in show(image, "ls -l /var/cache/apt/archives")


def test_boots(built: Built) -> None:
    seconds, console = boot(built.image)
    print(f"login prompt after {seconds:.0f} s")
    assert "FAILED" not in console
    assert "generate-ssh-host" in console  # systemd cuts names that are long


@pytest.mark.long
def test_scratch_changes_no_file(
    built_release: Callable[[str], Built], shared: Path, tmp_path: Path
) -> None:
    sparse = {"scratch": False, "reclaim": "metadata"}
    build(tmp_path, manifest_of("kvm-trixie", sparse=sparse), shared)
    [image] = (tmp_path / "images").iterdir()
    files = tree(built_release("trixie").image, tmp_path / "mounted")
    assert len(files) > 10_000
    assert differences(files, tree(image, tmp_path / "mounted")) == []


@pytest.mark.long
@pytest.mark.parametrize("label", ["dos", "gpt"])
def test_expand_root(label: str, built_release: Callable[[str], Built], tmp_path: Path) -> None:
    """The script that a GCE image gets grows partition and filesystem, here in a bare kernel."""
    built = built_release("trixie")
    root, disk = tmp_path / "root", tmp_path / "disk"
    subprocess.run(["cp", "--sparse=always", built.image, root], check=True)
    units, unit = "/etc/systemd/system", "expand-root.service"
    [version] = re.findall(r"vmlinuz-(\S+)", show(root, "ls -l /boot"))
    debugfs(
        root,
        "cd /usr/local/sbin",
        f"write {ASSETS}/sbin/expand-root expand-root",
        "sif expand-root mode 0100755",
        f"cd {units}",
        f"write {ASSETS}/systemd/{unit} {unit}",
        "cd multi-user.target.wants",
        f"symlink {unit} {units}/{unit}",
        f"dump /boot/vmlinuz-{version} {tmp_path}/vmlinuz",
        f"dump /boot/initrd.img-{version} {tmp_path}/initrd",
    )
    with disk.open("wb") as file:
        file.truncate(2052 << 20)
    table = f"label: {label}\nstart=2048, size=2GiB\n"
    subprocess.run(["sfdisk", "-q", disk], input=table, text=True, check=True)
    copy = [f"if={root}", f"of={disk}", "bs=1M", "seek=1", "conv=sparse,notrunc"]
    subprocess.run(["dd", "status=none", *copy], check=True)
    os.truncate(disk, 4 << 30)  # 1048576 blocks; where gpt has its backup is the middle now
    kernel = ["-kernel", f"{tmp_path}/vmlinuz", "-initrd", f"{tmp_path}/initrd"]
    kernel += ["-append", "root=/dev/vda1 ro net.ifnames=0 console=ttyS0,115200"]
    boot(disk, *kernel, expect=b"EXT4-fs (vda1): resized filesystem to 1048", timeout=200)


def failed(folder: Path, changes: dict[str, object]) -> str:
    """Build what fails; return what it says last but one, before the path of the log."""
    manifest = write(folder, changes)
    done = subprocess.run(
        [*COMMAND, "--pause-on-error", manifest],  # and nobody is there to press Enter
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 1
    assert nothing_is_left(folder)
    assert not (folder / "images").exists()
    *_, error, log = done.stderr.splitlines()
    assert Path(log.partition("log: ")[2]).is_file()
    return error


def test_a_program_that_fails(tmp_path: Path) -> None:
    error = failed(tmp_path, {"bootstrapper.mirror": "http://127.0.0.1:9/debian"})
    assert error.startswith("bvz-sparse: error: `debootstrap --arch=amd64 ")
    assert re.search(r"' ended with status 1: E: .*Release", error)


@pytest.mark.long
def test_the_disk_becomes_full(tmp_path: Path) -> None:
    with mounted("tmpfs", tmp_path, 1100 << 20) as folder, Background(folder) as process:
        process.until("Installing Debian ... ", timeout=60)
        fill(folder, 1 << 20)
        said = process.until(None, timeout=300)
        assert process.wait() == 1
        assert f"error: {folder}/images: the disk is full: " in said
        assert nothing_is_left(folder / "images")
        assert not (folder / "images").exists()


class Background(subprocess.Popen[bytes]):
    """A build that goes on while the test does, in a group of its own as in a terminal."""

    def __init__(self, folder: Path) -> None:
        manifest = folder / "manifest.yml"
        if not manifest.exists():
            write(folder)
        super().__init__(
            [*COMMAND, manifest],
            cwd=folder,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def until(self, text: str | None, timeout: float) -> str:
        """Return the messages from now on, up to and with ``text``; None: until it ends."""
        assert self.stderr
        said = ""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if select.select([self.stderr], [], [], 1)[0]:
                chunk = os.read(self.stderr.fileno(), 65536)
                said += chunk.decode()
                if text is not None and said.endswith(text):
                    return said
                if not chunk:
                    assert text is None, said
                    return said
        raise AssertionError(f"not within {timeout} s: {said}")


@pytest.mark.long
@pytest.mark.parametrize("task", ["Installing Debian ... ", "Installing packages ... "])
def test_interrupted(task: str, tmp_path: Path) -> None:
    """Ctrl-C in the middle, as a terminal sends it: to all processes of its group."""
    manifest = yaml.safe_load((MANIFESTS / "kvm-trixie.yml").read_text())
    manifest["bootstrapper"]["tarball"] = "packages" in task  # made for real, and used, once
    manifest["bootstrapper"]["variant"] = "minbase"
    (tmp_path / "manifest.yml").write_text(yaml.safe_dump(manifest))
    with Background(tmp_path) as process:
        process.until(task, timeout=600)
        time.sleep(12)
        images = (tmp_path / "images").resolve()
        # in a namespace of its own
        assert [each for each in mounts(process.pid) if each.point.startswith(str(images))]
        assert leftovers.mounts(images) == [] and leftovers.loop_devices(images)
        os.killpg(process.pid, signal.SIGINT)
        said = process.until(None, timeout=60)
        assert process.wait() == 1
    assert nothing_is_left(images)
    *_, error, log = said.splitlines()
    assert error == "bvz-sparse: error: interrupted by SIGINT"
    assert Path(log.partition("log: ")[2]).is_file()
    left = [path.name for path in images.iterdir()] if images.exists() else []
    assert len(left) == manifest["bootstrapper"]["tarball"]
    assert all(re.fullmatch(r"debootstrap-\w{8}\.tar", name) for name in left)
