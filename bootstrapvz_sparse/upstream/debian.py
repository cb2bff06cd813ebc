"""Repairs of what bootstrap-vz 0.9.11 does not know of Debian, and of its own mistakes.

The line above each says what breaks without it.
"""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .lacking import missing_programs
from .registry import repair

ASSETS = Path(__file__).parent / "assets"

RELEASES = {"buster": 10, "bullseye": 11, "bookworm": 12, "trixie": 13, "forky": 14, "sid": 1000}
ALIASES = {
    "unstable": "sid",
    "testing": "forky",
    "stable": "trixie",
    "oldstable": "bookworm",
    "oldoldstable": "bullseye",
}

# Packages that providers and plugins ask for and that Debian has since renamed or removed.
RENAMED = {
    "bullseye": {
        "python": "python3",
        "python-dev": "python3-dev",
        "python-openssl": "python3-openssl",
        "python-pip": "python3-pip",
        "python-pyasn1": "python3-pyasn1",
    },
    "bookworm": {"ntp": "ntpsec"},
}
# Compute Engine's own clock is offered by DHCP, and chrony of Debian takes what is offered there.
RENAMED_FOR_GCE = {"bookworm": {"ntp": "chrony"}}


def _replace(task: Any, run: Callable[[Any], None]) -> None:
    task.run = classmethod(lambda cls, info: run(info))


def _skip_when(task: Any, condition: Callable[[Any], bool]) -> None:
    run = task.run
    _replace(task, lambda info: None if condition(info) else run(info))


def _inside(info: Any, path: str) -> str:
    return os.path.join(info.root, path)


@repair("bootstrapvz.common.releases")
def releases(module: Any) -> None:
    """0.9.11 ends at stretch, and takes sid for the release after it."""
    for codename, version in RELEASES.items():
        setattr(module, codename, module._Release(codename, version))
    for alias, codename in ALIASES.items():
        setattr(module, alias, module._ReleaseAlias(alias, getattr(module, codename)))


@repair("bootstrapvz.common.tools")
def tables(module: Any) -> None:
    """The tables of kernel packages and network files end at stretch, whose rows still hold."""
    config_get = module.config_get

    def fallback(path: str, config_path: list[str]) -> Any:
        rows = module.load_data(path)
        if config_path[0] not in rows and "stretch" in rows:
            config_path = ["stretch", *config_path[1:]]
        return config_get(path, config_path)

    module.config_get = fallback


@repair("bootstrapvz.common.tasks")
def assets(module: Any) -> None:
    """The package on PyPI lacks every asset that lies more than one folder deep."""
    module.assets = str(ASSETS)


@repair("bootstrapvz.common.tasks.host")
def host_commands(module: Any) -> None:
    """``type CMD`` as a list and through a shell succeeds whatever CMD is."""

    def check(info: Any) -> None:
        if missing := missing_programs(info.host_dependencies):
            raise module.TaskError(missing)

    _replace(module.CheckExternalCommands, check)


@repair("bootstrapvz.common.tasks.filesystem")
def mount_table(module: Any) -> None:
    """/etc/mtab is a link to /proc/self/mounts: writing fails, removing loses the link."""
    for task in (module.CopyMountTable, module.RemoveMountTable):
        _skip_when(task, lambda info: os.path.islink(_inside(info, "etc/mtab")))


@repair("bootstrapvz.common.tasks.bootstrap")
def bootstrap_tarball(module: Any) -> None:
    """debootstrap refuses a target with lost+found, with an exit status taken for success.

    And a tarball that was cut short was taken for whole by the next build.
    """
    run, filename = module.MakeTarball.run, module.get_tarball_filename

    def make_tarball(info: Any) -> None:
        tarball, root = filename(info), info.root
        if os.path.isfile(tarball):
            return
        folder = tempfile.mkdtemp(dir=info.workspace)
        making = os.path.join(folder, "tarball")
        info.root = tempfile.mkdtemp(dir=folder)
        module.get_tarball_filename = lambda info: making
        try:
            run(info)
            if not os.path.isfile(making):
                raise module.TaskError("debootstrap made no tarball: see the log")
            os.rename(making, tarball)
        finally:
            module.get_tarball_filename, info.root = filename, root
            shutil.rmtree(folder, ignore_errors=True)

    _replace(module.MakeTarball, make_tarball)


@repair("bootstrapvz.common.tasks.apt")
def security_suite(module: Any) -> None:
    """``RELEASE/updates`` is ``RELEASE-security`` since bullseye, below /debian-security."""
    run = module.AddDefaultSources.run

    def add_default_sources(info: Any) -> None:
        from bootstrapvz.common.releases import bullseye

        run(info)
        for source in info.source_lists.sources["main"]:
            if source.uri == "http://security.debian.org/":
                source.uri += "debian-security"
                if info.manifest.release >= bullseye:
                    source.distribution = source.distribution.replace("/updates", "-security")

    _replace(module.AddDefaultSources, add_default_sources)


@repair("bootstrapvz.common.tasks.initd")
def systemd_units(module: Any) -> None:
    """There are no init scripts to install, and systemd is about to run none."""
    run = module.InstallInitScripts.run

    def install(info: Any) -> None:
        for name in list(info.initd["install"]):
            unit = ASSETS / "systemd" / f"{name}.service"
            if unit.exists():
                del info.initd["install"][name]
                shutil.copy(unit, _inside(info, "etc/systemd/system"))
                program = ASSETS / "sbin" / name
                if program.exists():
                    copy = shutil.copy(program, _inside(info, "usr/local/sbin"))
                    # a program for all users of the image
                    os.chmod(copy, 0o755)  # nosec B103
                module.log_check_call(["chroot", info.root, "systemctl", "enable", unit.name])
        run(info)

    _replace(module.InstallInitScripts, install)


@repair("bootstrapvz.common.tasks.initd", "bootstrapvz.providers.gce.tasks.initd")
def root_device(module: Any) -> None:
    """The build's loop device was written into expand-root; ours asks for the machine's own."""
    for name in ("AdjustExpandRootScript", "AdjustGrowpartWorkaround", "AdjustExpandRootDev"):
        if hasattr(module, name):
            _skip_when(getattr(module, name), _has_no_init_script)


def _has_no_init_script(info: Any) -> bool:
    return not os.path.exists(_inside(info, "etc/init.d/expand-root"))


@repair("bootstrapvz.common.tasks.ssh")
def host_keys(module: Any) -> None:
    """Only the DSA, RSA and ECDSA keys were shredded: every machine got one Ed25519 key."""

    def shred(info: Any) -> None:
        keys = glob.glob(_inside(info, "etc/ssh/ssh_host_*_key*"))
        if keys:
            module.log_check_call(["shred", "--remove", *sorted(keys)])

    _replace(module.ShredHostkeys, shred)


@repair("bootstrapvz.common.tasks.cleanup")
def motd_and_machine_id(module: Any) -> None:
    """The motd of the *host* was emptied; and all machines of an image had one machine-id."""

    def clear(info: Any) -> None:
        machine_id = _inside(info, "etc/machine-id")
        if os.path.exists(machine_id):
            os.truncate(machine_id, 0)  # empty: made anew at first boot, machine-id(5)

    _replace(module.ClearMOTD, clear)


@repair("bootstrapvz.providers.kvm.tasks.virtio")
def virtio_modules(module: Any) -> None:
    """``os.path.join(root, '/etc/...')`` is a file of the host."""

    def add(info: Any) -> None:
        with open(_inside(info, "etc/initramfs-tools/modules"), "a") as file:
            file.writelines(f"{name}\n" for name in ["", *info.manifest.provider["virtio"]])

    _replace(module.VirtIO, add)


@repair("bootstrapvz.plugins.minimize_size.tasks.mounts")
def temporary_folder(module: Any) -> None:
    """apt verifies signatures as the user _apt, who could not write into the bound /tmp."""
    run = module.AddFolderMounts.run

    def mount(info: Any) -> None:
        run(info)
        os.chmod(_inside(info, "tmp"), 0o1777)  # nosec B103

    _replace(module.AddFolderMounts, mount)


@repair(
    "bootstrapvz.providers.azure.tasks.packages",
    "bootstrapvz.providers.gce.tasks.packages",
    "bootstrapvz.plugins.ansible.tasks",
    "bootstrapvz.plugins.ntp.tasks",
    "bootstrapvz.plugins.pip_install.tasks",
)
def renamed_packages(module: Any) -> None:
    """Packages that Debian has renamed since: apt finds nothing of their old names."""
    tables = [RENAMED_FOR_GCE, RENAMED] if ".gce." in module.__name__ else [RENAMED]
    for name in ("DefaultPackages", "AddPackages", "AddNtpPackage", "AddPipPackage"):
        if hasattr(module, name):
            _rename_after(getattr(module, name), tables)


def _rename_after(task: Any, tables: list[dict[str, dict[str, str]]]) -> None:
    run = task.run

    def add(info: Any) -> None:
        from bootstrapvz.common.releases import get_release

        before = len(info.packages.install)
        run(info)
        for release, names in (row for table in tables for row in table.items()):
            if info.manifest.release >= get_release(release):
                for package in info.packages.install[before:]:
                    package.name = names.get(package.name, package.name)

    _replace(task, add)


@repair("bootstrapvz.providers.gce")
def gce_host_keys(module: Any) -> None:
    """The SSH host keys of the build stayed in the image: all machines had the same."""
    resolve_tasks = module.resolve_tasks

    def resolve(taskset: set[Any], manifest: Any) -> None:
        from bootstrapvz.common.tasks import ssh

        resolve_tasks(taskset, manifest)
        taskset.add(ssh.ShredHostkeys)

    module.resolve_tasks = resolve
