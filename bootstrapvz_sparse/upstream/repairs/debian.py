"""Repairs for changes in Debian since bootstrap-vz 0.9.11."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from typing import Any

from ..registry import repair
from .bugs import ASSETS
from .tasks import inside, replace_run, skip_when

RELEASES = {"buster": 10, "bullseye": 11, "bookworm": 12, "trixie": 13, "forky": 14, "sid": 1000}
ALIASES = {
    "unstable": "sid",
    "testing": "forky",
    "stable": "trixie",
    "oldstable": "bookworm",
    "oldoldstable": "bullseye",
}

# Packages that providers and plugins request, and their names since a given release.
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
# Compute Engine announces its time server by DHCP; Debian's chrony uses it.
RENAMED_FOR_GCE = {"bookworm": {"ntp": "chrony"}}


@repair("bootstrapvz.common.releases", fork_too=False)
def add_releases(module: Any) -> None:
    """Add releases: 0.9.11 ends at stretch and treats sid as its successor."""
    for codename, version in RELEASES.items():
        setattr(module, codename, module._Release(codename, version))
    for alias, codename in ALIASES.items():
        setattr(module, alias, module._ReleaseAlias(alias, getattr(module, codename)))


@repair("bootstrapvz.common.tools", fork_too=False)
def fall_back_to_stretch(module: Any) -> None:
    """Use the rows of stretch, still valid: the tables of packages and networks end there."""
    config_get = module.config_get

    def fallback(path: str, config_path: list[str]) -> Any:
        rows = module.load_data(path)
        if config_path[0] not in rows and "stretch" in rows:
            config_path = ["stretch", *config_path[1:]]
        return config_get(path, config_path)

    module.config_get = fallback


@repair("bootstrapvz.common.tasks.filesystem", fork_too=True)
def keep_mtab_link(module: Any) -> None:
    """Leave /etc/mtab alone: writing through the link to /proc fails, and removing it loses it."""
    for task in (module.CopyMountTable, module.RemoveMountTable):
        skip_when(task, lambda info: os.path.islink(inside(info, "etc/mtab")))


@repair("bootstrapvz.common.tasks.bootstrap", fork_too=True)
def make_bootstrap_tarball(module: Any) -> None:
    """Give debootstrap an empty target: with lost+found in it, it silently makes no tarball.

    The tarball gets its name once complete: the next build used a truncated one.
    """
    run, filename = module.MakeTarball.run, module.get_tarball_filename

    def make_tarball(info: Any) -> None:
        tarball, root = filename(info), info.root
        if os.path.isfile(tarball):
            return
        folder = tempfile.mkdtemp(dir=info.workspace)
        incomplete = os.path.join(folder, "tarball")
        info.root = tempfile.mkdtemp(dir=folder)
        module.get_tarball_filename = lambda info: incomplete
        try:
            run(info)
            if not os.path.isfile(incomplete):
                raise module.TaskError("debootstrap made no tarball (see the log)")
            os.rename(incomplete, tarball)
        finally:
            module.get_tarball_filename, info.root = filename, root
            shutil.rmtree(folder, ignore_errors=True)

    replace_run(module.MakeTarball, make_tarball)


@repair("bootstrapvz.common.tasks.apt", fork_too=False)
def name_security_suite(module: Any) -> None:
    """Name the suite ``RELEASE-security``: ``RELEASE/updates`` is not found since bullseye."""
    run = module.AddDefaultSources.run

    def add_default_sources(info: Any) -> None:
        # bootstrap-vz must be imported after upstream.install()
        from bootstrapvz.common.releases import bullseye

        run(info)
        for source in info.source_lists.sources["main"]:
            if source.uri == "http://security.debian.org/":
                source.uri += "debian-security"
                if info.manifest.release >= bullseye:
                    source.distribution = source.distribution.replace("/updates", "-security")

    replace_run(module.AddDefaultSources, add_default_sources)


@repair("bootstrapvz.common.tasks.initd", fork_too=False)
def install_systemd_units(module: Any) -> None:
    """Install systemd units: the init scripts are gone, and systemd is ending support for them."""
    run = module.InstallInitScripts.run

    def install(info: Any) -> None:
        for name in list(info.initd["install"]):
            unit = ASSETS / "systemd" / f"{name}.service"
            if unit.exists():
                del info.initd["install"][name]
                shutil.copy(unit, inside(info, "etc/systemd/system"))
                program = ASSETS / "sbin" / name
                if program.exists():
                    copy = shutil.copy(program, inside(info, "usr/local/sbin"))
                    # a program for all users of the image
                    os.chmod(copy, 0o755)  # nosec B103
                module.log_check_call(["chroot", info.root, "systemctl", "enable", unit.name])
        run(info)

    replace_run(module.InstallInitScripts, install)


@repair("bootstrapvz.common.tasks.ssh", fork_too=False)
def shred_all_host_keys(module: Any) -> None:
    """Shred host keys of all types: all machines of an image shared one Ed25519 key."""

    def shred(info: Any) -> None:
        keys = glob.glob(inside(info, "etc/ssh/ssh_host_*_key*"))
        if keys:
            module.log_check_call(["shred", "--remove", *sorted(keys)])

    replace_run(module.ShredHostkeys, shred)


@repair("bootstrapvz.common.tasks.cleanup", fork_too=False)
def clear_machine_id(module: Any) -> None:
    """Empty /etc/machine-id: all machines of an image shared the same ID."""
    run = module.ClearMOTD.run

    def clear(info: Any) -> None:
        run(info)
        machine_id = inside(info, "etc/machine-id")
        if os.path.exists(machine_id):
            os.truncate(machine_id, 0)  # systemd writes a new one at boot, machine-id(5)

    replace_run(module.ClearMOTD, clear)


@repair("bootstrapvz.plugins.minimize_size.tasks.mounts", fork_too=False)
def open_tmp_to_all(module: Any) -> None:
    """Make the bound /tmp writable by all users: apt verifies signatures as the user _apt."""
    run = module.AddFolderMounts.run

    def mount(info: Any) -> None:
        run(info)
        os.chmod(inside(info, "tmp"), 0o1777)  # nosec B103

    replace_run(module.AddFolderMounts, mount)


@repair(
    "bootstrapvz.providers.azure.tasks.packages",
    "bootstrapvz.providers.gce.tasks.packages",
    "bootstrapvz.plugins.ansible.tasks",
    "bootstrapvz.plugins.ntp.tasks",
    "bootstrapvz.plugins.pip_install.tasks",
    fork_too=True,
)
def rename_packages(module: Any) -> None:
    """Rename packages as Debian did: apt does not find the old names."""
    tables = [RENAMED_FOR_GCE, RENAMED] if ".gce." in module.__name__ else [RENAMED]
    for name in ("DefaultPackages", "AddPackages", "AddNtpPackage", "AddPipPackage"):
        if hasattr(module, name):
            _rename_after(getattr(module, name), tables)


def _rename_after(task: Any, tables: list[dict[str, dict[str, str]]]) -> None:
    run = task.run

    def add(info: Any) -> None:
        # bootstrap-vz must be imported after upstream.install()
        from bootstrapvz.common.releases import get_release

        before = len(info.packages.install)
        run(info)
        for release, names in (row for table in tables for row in table.items()):
            if info.manifest.release >= get_release(release):
                for package in info.packages.install[before:]:
                    package.name = names.get(package.name, package.name)

    replace_run(task, add)
