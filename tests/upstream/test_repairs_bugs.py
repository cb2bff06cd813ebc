"""Repairs of what is wrong in bootstrap-vz on any Python and any Debian."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

from bootstrapvz_sparse.util.errors import ProgramFailed

from .image import Image
from .needs import needs


@needs("bootstrapvz.common.tasks:use_our_assets")
def test_writes_configuration_of_extlinux(image: Image) -> None:
    from bootstrapvz.common.tasks.extlinux import ConfigureExtlinuxJessie

    image.write("boot/vmlinuz")
    partition = SimpleNamespace(get_uuid=lambda: "SOME-UUID")
    volume = SimpleNamespace(partition_map=SimpleNamespace(root=partition))
    ConfigureExtlinuxJessie.run(image.info(volume=volume, kernel_version="6.1"))
    config = image.read("boot/extlinux/extlinux.conf").decode()
    assert "linux /boot/vmlinuz-6.1\n" in config and "initrd /boot/initrd.img-6.1\n" in config
    assert "root=UUID=SOME-UUID" in config and "net.ifnames=0" in config


@needs("bootstrapvz.base.tasklist:order_tasks")
def test_order_of_tasks_never_changes(image: Image) -> None:
    from bootstrapvz.base.tasklist import topological_sort

    forwards: dict[str, set[str]] = {name: set() for name in "abcdef"}
    backwards: dict[str, set[str]] = {name: set() for name in "fedcba"}
    assert topological_sort(forwards) == topological_sort(backwards)


@needs("bootstrapvz.common.tasks.host:check_host_programs")
def test_names_missing_program_and_its_package(image: Image) -> None:
    from bootstrapvz.common.exceptions import TaskError
    from bootstrapvz.common.tasks.host import CheckExternalCommands

    CheckExternalCommands.run(SimpleNamespace(host_dependencies={"sh": "dash"}))
    try:
        needed = {"no-such-program": "a-package"}
        CheckExternalCommands.run(SimpleNamespace(host_dependencies=needed))
    except TaskError as error:
        assert "no-such-program (package a-package)" in str(error)
    else:
        raise AssertionError("no-such-program was found")


@needs("bootstrapvz.common.tasks.cleanup:keep_host_motd")
def test_host_keeps_its_motd(image: Image) -> None:
    from bootstrapvz.common.tasks.cleanup import ClearMOTD

    image.guard_host()
    ClearMOTD.run(image.info())


@needs("bootstrapvz.providers.kvm.tasks.virtio:write_virtio_modules_inside")
def test_writes_virtio_modules_into_image(image: Image) -> None:
    from bootstrapvz.providers.kvm.tasks.virtio import VirtIO

    image.write("etc/initramfs-tools/modules", b"# modules\n")
    info = image.info()
    info.manifest.provider = {"virtio": ["virtio_blk", "virtio_net"]}
    image.guard_host()
    VirtIO.run(info)
    modules = image.read("etc/initramfs-tools/modules")
    assert modules == b"# modules\n\nvirtio_blk\nvirtio_net\n"


@needs("bootstrapvz.common.tasks.initd:keep_expand_root")
def test_expand_root_is_installed_unchanged(image: Image) -> None:
    from bootstrapvz.common.tasks import initd

    commands: list[list[str]] = []
    initd.log_check_call = commands.append
    image.make_folders("etc/systemd/system", "usr/local/sbin")
    partition = SimpleNamespace(get_index=lambda: 1)
    volume = SimpleNamespace(
        partition_map=SimpleNamespace(root=partition), device_path="/dev/loop7"
    )
    info = image.info(initd={"install": {}, "disable": []}, volume=volume)
    initd.AddExpandRoot.run(info)
    initd.InstallInitScripts.run(info)
    initd.AdjustExpandRootScript.run(info)
    initd.AdjustGrowpartWorkaround.run(info)
    program = image.root / "usr/local/sbin/expand-root"
    assert os.access(program, os.X_OK) and b"/dev/loop" not in program.read_bytes()
    assert commands == [["chroot", info.root, "systemctl", "enable", "expand-root.service"]]


@needs("bootstrapvz.providers.gce.tasks.initd:keep_expand_root")
def test_gce_leaves_expand_root_unchanged(image: Image) -> None:
    from bootstrapvz.providers.gce.tasks.initd import AdjustExpandRootDev

    AdjustExpandRootDev.run(image.info())


@needs("bootstrapvz.providers.gce:shred_gce_host_keys")
def test_gce_shreds_host_keys(image: Image) -> None:
    from bootstrapvz.common.releases import get_release
    from bootstrapvz.common.tasks.ssh import ShredHostkeys
    from bootstrapvz.providers import gce

    manifest = SimpleNamespace(
        release=get_release("bookworm"),
        system={"bootloader": "grub"},
        packages={},
        provider={},
        bootstrapper={},
        volume={"partitions": {"type": "msdos", "root": {"filesystem": "ext4"}}},
    )
    tasks: set[Any] = set()
    gce.resolve_tasks(tasks, manifest)
    assert ShredHostkeys in tasks


@needs("bootstrapvz.plugins.prebootstrapped.tasks:copy_with_holes")
def test_prebootstrapped_copies_images_with_holes(image: Image) -> None:
    from bootstrapvz.plugins.prebootstrapped import tasks

    source, copy = image.workspace / "image.backup", image.workspace / "volume.raw"
    with source.open("wb") as file:
        file.truncate(8 << 20)
        file.write(b"content")
    copy.write_text("an older file")
    tasks.copyfile(str(source), str(copy))
    assert copy.read_bytes() == source.read_bytes()
    assert copy.stat().st_blocks * 512 < 1 << 20
    assert copy.stat().st_mode & 0o777 == 0o644
    try:
        tasks.copyfile("/nowhere", str(copy))
    except ProgramFailed as error:
        assert "cp" in str(error) and "/nowhere" in str(error)
    else:
        raise AssertionError("there was nothing to copy")
    assert copy.read_bytes() == source.read_bytes()
    assert sorted(os.listdir(image.workspace)) == ["image.backup", "root", "volume.raw"]


@needs("plugins/admin_user/tasks.py")
def test_checks_public_key_of_admin_user(image: Image) -> None:
    from bootstrapvz.common import tools
    from bootstrapvz.plugins.admin_user.tasks import CheckPublicKeyFile

    path = image.write("key.pub")
    commands: list[list[str]] = []

    def log_call(command: list[str]) -> tuple[int, list[str], list[str]]:
        commands.append(command)
        return 0, [], []

    tools.log_call = log_call
    info = image.info()
    info.manifest.plugins = {"admin_user": {"pubkey": path}}
    CheckPublicKeyFile.run(info)
    assert commands == [["ssh-keygen", "-l", "-f", path]]


@needs("common/releases.py")
def test_names_unknown_release(image: Image) -> None:
    from bootstrapvz.common.releases import UnknownReleaseException, get_release

    try:
        get_release("nonesuch")
    except UnknownReleaseException as error:
        assert "nonesuch" in str(error)
    else:
        raise AssertionError("nonesuch was found")
