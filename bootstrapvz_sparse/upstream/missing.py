"""Assets missing from bootstrap-vz on PyPI, and programs missing from the host."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping

# Tasks that copy an asset found neither in the package on PyPI nor in ours.
MISSING_ASSETS = {
    "bootstrapvz.providers.ec2.tasks.ami.BundleImage": "certs/cert-ec2.pem",
    "bootstrapvz.providers.ec2.tasks.boot.CreatePVGrubCustomRule": "grub.d/40_custom",
    "bootstrapvz.providers.ec2.tasks.initd.AddEC2InitScripts": "init.d/ec2-get-credentials",
    "bootstrapvz.providers.ec2.tasks.network.InstallNetworkingUDevHotplugAndDHCPSubinterface": (
        "ec2/53-ec2-network-interfaces.rules"
    ),
    "bootstrapvz.providers.ec2.tasks.packages.AddWorkaroundGrowpart": "bin/growpart",
    "bootstrapvz.providers.ec2.tasks.tuning.SetCloudInitMountOptions": (
        "cloud-init/debian_cloud.cfg"
    ),
    "bootstrapvz.providers.ec2.tasks.tuning.TuneSystem": "sysctl.d/tuning.conf",
    "bootstrapvz.plugins.docker_daemon.tasks.AddDockerInit": "init.d/docker",
}


def missing_assets(tasks: Iterable[object]) -> list[str]:
    """Return a line for each of ``tasks`` that copies a missing asset."""
    return sorted(
        f"{task}: {MISSING_ASSETS[repr(task)]} is missing from bootstrap-vz on PyPI"
        for task in tasks
        if repr(task) in MISSING_ASSETS
    )


def missing_programs(needed: Mapping[str, str]) -> str:
    """Return a line that names the missing programs, or "" if none is missing.

    ``needed`` maps each program to its Debian package.
    """
    missing = sorted(command for command in needed if shutil.which(command) is None)
    named = ", ".join(f"{command} (package {needed[command]})" for command in missing)
    return f"missing programs: {named}" if named else ""
