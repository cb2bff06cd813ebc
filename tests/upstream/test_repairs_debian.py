"""Repairs of what Debian changed since 0.9.11."""

from __future__ import annotations

import os
import stat
from types import SimpleNamespace
from typing import Any

from .image import Image
from .needs import needs


@needs("bootstrapvz.common.releases:add_releases")
def test_knows_current_releases(image: Image) -> None:
    from bootstrapvz.common.releases import get_release, sid, stretch

    names = ["buster", "bullseye", "bookworm", "trixie", "forky", "sid"]
    releases = [get_release(name) for name in names]
    assert releases == sorted(releases, key=lambda release: release.version)
    assert releases[0] > stretch
    assert get_release("stable").codename == "trixie" and get_release("unstable") == sid


@needs("bootstrapvz.common.tools:fall_back_to_stretch")
def test_falls_back_to_row_of_stretch(image: Image) -> None:
    from bootstrapvz.common.tools import config_get

    path = image.write("table.yml", b"stretch: {amd64: linux-image-amd64}")
    assert config_get(path, ["trixie", "amd64"]) == "linux-image-amd64"


@needs("bootstrapvz.common.tasks.filesystem:keep_mtab_link")
def test_mtab_stays_a_link(image: Image) -> None:
    from bootstrapvz.common.tasks.filesystem import CopyMountTable, RemoveMountTable

    image.make_folders("etc")
    link = image.root / "etc" / "mtab"
    link.symlink_to("../proc/self/mounts")
    CopyMountTable.run(image.info())
    RemoveMountTable.run(image.info())
    assert link.is_symlink()


@needs("bootstrapvz.common.tasks.bootstrap:make_bootstrap_tarball")
def test_debootstrap_gets_empty_target(image: Image) -> None:
    from bootstrapvz.common import tools
    from bootstrapvz.common.tasks import bootstrap

    info = image.info()
    image.write("lost+found/x")

    def debootstrap(command: list[str]) -> tuple[int, list[str], list[str]]:
        [target] = [word for word in command if os.path.isdir(word)]
        if os.listdir(target):
            return 1, [], []  # as the real one does
        [tarball] = [word[15:] for word in command if word.startswith("--make-tarball=")]
        folder = os.path.dirname(tarball)
        assert os.path.dirname(folder) == info.workspace, "an incomplete tarball has its name"
        open(tarball, "w").close()
        return 0, [], []

    tools.log_call = debootstrap
    bootstrap.MakeTarball.run(info)
    name = os.path.basename(bootstrap.get_tarball_filename(info))
    assert sorted(os.listdir(info.workspace)) == sorted(["root", name])
    assert info.root == str(image.root)


@needs("bootstrapvz.common.tasks.apt:name_security_suite")
def test_names_security_suite_of_each_release(image: Image) -> None:
    from bootstrapvz.common.tasks.apt import AddDefaultSources

    def security(release: str) -> list[str]:
        info = image.info(release)
        AddDefaultSources.run(info)
        sources = info.source_lists.sources["main"]
        return [str(source) for source in sources if "security" in source.uri]

    address = "http://security.debian.org/debian-security"
    assert security("bookworm") == [f"deb {address} bookworm-security main"]
    assert security("buster") == [f"deb {address} buster/updates main"]


@needs("bootstrapvz.common.tasks.initd:install_systemd_units")
def test_systemd_unit_makes_host_keys(image: Image) -> None:
    from bootstrapvz.common.tasks import initd

    commands: list[list[str]] = []
    initd.log_check_call = commands.append
    image.make_folders("etc/systemd/system")
    scripts = {"install": {"generate-ssh-hostkeys": "/nowhere"}, "disable": []}
    initd.InstallInitScripts.run(image.info(initd=scripts))
    unit = "generate-ssh-hostkeys.service"
    assert b"ssh-keygen -A" in image.read(f"etc/systemd/system/{unit}")
    assert commands == [["chroot", str(image.root), "systemctl", "enable", unit]]


@needs("bootstrapvz.common.tasks.ssh:shred_all_host_keys")
def test_shreds_host_keys_of_every_type(image: Image) -> None:
    from bootstrapvz.common.tasks.ssh import ShredHostkeys

    ShredHostkeys.run(image.info())
    for name in ("dsa", "rsa", "ecdsa", "ed25519", "of_the_future"):
        image.write(f"etc/ssh/ssh_host_{name}_key", b"secret")
        image.write(f"etc/ssh/ssh_host_{name}_key.pub", b"public")
    ShredHostkeys.run(image.info())
    assert os.listdir(image.root / "etc" / "ssh") == []


@needs("bootstrapvz.common.tasks.cleanup:clear_machine_id")
def test_image_has_empty_machine_id(image: Image) -> None:
    from bootstrapvz.common.tasks.cleanup import ClearMOTD

    image.write("etc/machine-id", b"0123456789abcdef\n")
    ClearMOTD.run(image.info())
    assert image.read("etc/machine-id") == b""


@needs("bootstrapvz.plugins.minimize_size.tasks.mounts:open_tmp_to_all")
def test_all_users_write_into_bound_tmp(image: Image) -> None:
    from bootstrapvz.plugins.minimize_size.tasks.mounts import AddFolderMounts

    image.make_folders("tmp")
    partition = SimpleNamespace(add_mount=lambda source, target, options: None)
    volume = SimpleNamespace(partition_map=SimpleNamespace(root=partition))
    AddFolderMounts.run(image.info(_minimize_size={}, volume=volume))
    assert stat.S_IMODE(os.stat(image.root / "tmp").st_mode) == 0o1777


@needs("common/tasks/ssh.py")
def test_edits_root_login_where_it_is_a_comment(image: Image) -> None:
    from bootstrapvz.common.tasks.ssh import DisableRootLogin

    image.write("etc/ssh/sshd_config", b"#PermitRootLogin prohibit-password\n")
    DisableRootLogin.run(image.info())
    assert image.read("etc/ssh/sshd_config") == b"PermitRootLogin no\n"


def check_renamed(image: Image, task: Any, old: str, new: str, *, since: str) -> None:
    """Check that ``task`` asks for ``new`` from ``since`` on, and for ``old`` before."""
    for release, present, absent in ((since, new, old), ("stretch", old, new)):
        info = image.info(release)
        task.run(info)
        names = [str(package) for package in info.packages.install]
        assert present in names and absent not in names, (release, names)


@needs("bootstrapvz.providers.azure.tasks.packages:rename_packages")
def test_azure_installs_python3_openssl(image: Image) -> None:
    from bootstrapvz.providers.azure.tasks.packages import DefaultPackages

    check_renamed(image, DefaultPackages, "python-openssl", "python3-openssl", since="bullseye")


@needs("bootstrapvz.providers.gce.tasks.packages:rename_packages")
def test_gce_installs_chrony(image: Image) -> None:
    from bootstrapvz.providers.gce.tasks.packages import DefaultPackages

    check_renamed(image, DefaultPackages, "ntp", "chrony", since="bookworm")


@needs("bootstrapvz.plugins.ansible.tasks:rename_packages")
def test_ansible_installs_python3(image: Image) -> None:
    from bootstrapvz.plugins.ansible.tasks import AddPackages

    check_renamed(image, AddPackages, "python", "python3", since="bullseye")


@needs("bootstrapvz.plugins.ntp.tasks:rename_packages")
def test_ntp_installs_ntpsec(image: Image) -> None:
    from bootstrapvz.plugins.ntp.tasks import AddNtpPackage

    check_renamed(image, AddNtpPackage, "ntp", "ntpsec", since="bookworm")


@needs("bootstrapvz.plugins.pip_install.tasks:rename_packages")
def test_pip_install_installs_python3_pip(image: Image) -> None:
    from bootstrapvz.plugins.pip_install.tasks import AddPipPackage

    check_renamed(image, AddPipPackage, "python-pip", "python3-pip", since="bullseye")
