"""Files that bootstrap-vz on PyPI lacks, and programs that the host does."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping

# Tasks that copy files which the package on PyPI lacks and which we do not bring either.
LACKING = {
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


def lacking(tasks: Iterable[object]) -> list[str]:
    """Name those of ``tasks`` that copy a file which is not there, with the file."""
    return sorted(
        f"{task} needs the file {LACKING[repr(task)]}, which bootstrap-vz on PyPI lacks"
        for task in tasks
        if repr(task) in LACKING
    )


def missing_programs(needed: Mapping[str, str]) -> str:
    """Name the commands among ``needed`` that are not there, each with its Debian package."""
    missing = sorted(command for command in needed if shutil.which(command) is None)
    named = ", ".join(f"{command} (package {needed[command]})" for command in missing)
    return f"missing programs: {named}" if named else ""
