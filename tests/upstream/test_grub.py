"""Repairs of GRUB: the link by which it finds the root, and the check of its configuration."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bootstrapvz_sparse.upstream import loop_partitions

from .image import Image
from .needs import needs

UUID = "1234-ABCD"
PARTITIONS = {"type": "gpt", "root": {"filesystem": "ext4", "size": "64MiB"}}


def load_volume() -> Any:
    from bootstrapvz.base.fs import load_volume

    volume = load_volume({"partitions": PARTITIONS, "backing": "raw"}, "grub")
    volume.device_path = "/dev/loop9"
    volume.partition_map.root.get_uuid = lambda: UUID
    return volume


def install_grub(root: Path) -> None:
    """Run the task with programs that succeed and do nothing."""
    from bootstrapvz.common.tasks.grub import InstallGrub_2

    info = SimpleNamespace(root=str(root), workspace="/build/space", volume=load_volume())
    InstallGrub_2.run(info)


def use_chroot_that_does_nothing(folder: Path) -> str:
    """Return a search path where ``chroot`` is true(1)."""
    folder.mkdir()
    (folder / "chroot").symlink_to("/bin/true")
    return os.pathsep.join([str(folder), os.environ["PATH"]])


@needs("bootstrapvz.base.fs.partitions.base:link_uuid")
def test_links_uuid_of_root_and_removes_link(image: Image) -> None:
    loop_partitions.LINKS = image.root / "disk" / "by-uuid"
    image.guard_host()
    partition = load_volume().partition_map.root
    partition.device_path = "/dev/loop9"
    link = loop_partitions.LINKS / UUID
    partition.link_uuid()
    assert os.readlink(link) == "/dev/loop9"
    partition.unlink_uuid()
    assert not os.path.lexists(link)
    link.symlink_to("/dev/sda1")  # another filesystem of that name
    partition.link_uuid()
    partition.unlink_uuid()
    assert os.readlink(link) == "/dev/sda1"


@needs("bootstrapvz.common.tasks.grub:install_grub")
def test_refuses_missing_configuration(image: Image) -> None:
    from bootstrapvz.common.exceptions import TaskError

    os.environ["PATH"] = use_chroot_that_does_nothing(image.workspace / "bin")
    with pytest.raises(TaskError):
        install_grub(image.root)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        pytest.param("", "root=UUID=1234-ABCD is missing", id="empty"),
        pytest.param(
            "linux /boot/vmlinuz root=/dev/loop1 ro", "root=UUID=1234-ABCD is missing", id="device"
        ),
        pytest.param(
            "linux /boot/vmlinuz root=UUID=5678 ro", "root=UUID=1234-ABCD is missing", id="other"
        ),
        pytest.param(
            "loopback loop1 /x\nlinux root=UUID=1234-ABCD", "refers to loopback", id="loopback"
        ),
        pytest.param(
            "linux root=UUID=1234-ABCD\nset root=/dev/loop0", "refers to /dev/loop", id="loop"
        ),
        pytest.param(
            "linux root=UUID=1234-ABCD /dev/bvz-sparse/x", "refers to /dev/bvz-sparse", id="node"
        ),
        pytest.param(
            "linux root=UUID=1234-ABCD /dev/mapper/x", "refers to /dev/mapper", id="mapping"
        ),
        pytest.param(
            "linux root=UUID=1234-ABCD /build/space/root", "refers to /build/space", id="workspace"
        ),
        pytest.param("linux /boot/vmlinuz root=UUID=1234-ABCD ro", "", id="valid"),
    ],
)
def test_checks_configuration(
    config: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bootstrapvz.common.exceptions import TaskError

    monkeypatch.setenv("PATH", use_chroot_that_does_nothing(tmp_path / "bin"))
    (tmp_path / "boot" / "grub").mkdir(parents=True)
    (tmp_path / "boot" / "grub" / "grub.cfg").write_text(config)
    if problem:
        with pytest.raises(TaskError, match=re.escape(problem)):
            install_grub(tmp_path)
    else:
        install_grub(tmp_path)
