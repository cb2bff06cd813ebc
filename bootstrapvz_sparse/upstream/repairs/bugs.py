"""Repairs of bugs in bootstrap-vz that occur on any Python and any Debian."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...util import programs
from ...util.temporary import temporary
from ..missing import missing_programs
from ..registry import repair
from .tasks import inside, replace_run, skip_when

ASSETS = Path(__file__).parent.parent / "assets"


@repair("bootstrapvz.common.tasks", fork_too=False)
def use_our_assets(module: Any) -> None:
    """Use our assets: the package on PyPI lacks all assets more than one folder deep."""
    module.assets = str(ASSETS)


@repair("bootstrapvz.base.tasklist", fork_too=True)
def order_tasks(module: Any) -> None:
    """Sort tasks by name first: the order of independent tasks depended on memory addresses."""
    sort = module.topological_sort

    def topological_sort(graph: Mapping[Any, Any]) -> list[Any]:
        ordered: list[Any] = sort(
            {task: sorted(graph[task], key=repr) for task in sorted(graph, key=repr)}
        )
        return ordered

    module.topological_sort = topological_sort


@repair("bootstrapvz.common.tasks.host", fork_too=True)
def check_host_programs(module: Any) -> None:
    """Look for programs on PATH: 0.9.11 finds every program, and the fork needs distutils."""

    def check(info: Any) -> None:
        if missing := missing_programs(info.host_dependencies):
            raise module.TaskError(missing)

    replace_run(module.CheckExternalCommands, check)


@repair("bootstrapvz.common.tasks.cleanup", fork_too=True)
def keep_host_motd(module: Any) -> None:
    """Leave /var/run/motd alone: the host's file was emptied."""
    replace_run(module.ClearMOTD, lambda info: None)


@repair("bootstrapvz.providers.kvm.tasks.virtio", fork_too=True)
def write_virtio_modules_inside(module: Any) -> None:
    """Write the modules into the image: ``os.path.join(root, '/etc/...')`` is the host's file."""

    def add(info: Any) -> None:
        with open(inside(info, "etc/initramfs-tools/modules"), "a") as file:
            file.writelines(f"{name}\n" for name in ["", *info.manifest.provider.get("virtio", [])])

    replace_run(module.VirtIO, add)


@repair("bootstrapvz.common.tasks.initd", "bootstrapvz.providers.gce.tasks.initd", fork_too=False)
def keep_expand_root(module: Any) -> None:
    """Leave our expand-root unchanged: it was given the loop device of the build as root device."""
    for name in ("AdjustExpandRootScript", "AdjustGrowpartWorkaround", "AdjustExpandRootDev"):
        if hasattr(module, name):
            skip_when(getattr(module, name), _has_no_init_script)


def _has_no_init_script(info: Any) -> bool:
    return not os.path.exists(inside(info, "etc/init.d/expand-root"))


@repair("bootstrapvz.providers.gce", fork_too=True)
def shred_gce_host_keys(module: Any) -> None:
    """Shred the SSH host keys: all machines of an image shared the keys created by its build."""
    resolve_tasks = module.resolve_tasks

    def resolve(taskset: set[Any], manifest: Any) -> None:
        # bootstrap-vz must be imported after upstream.install()
        from bootstrapvz.common.tasks import ssh

        resolve_tasks(taskset, manifest)
        taskset.add(ssh.ShredHostkeys)

    module.resolve_tasks = resolve


@repair("bootstrapvz.plugins.prebootstrapped.tasks", fork_too=True)
def copy_with_holes(module: Any) -> None:
    """Copy images with their holes: ``shutil.copyfile`` fills them.

    The copy replaces any file of that name once it is complete and on disk.
    """

    def copyfile(source: str, destination: str) -> None:
        with temporary(Path(destination)) as file:
            # by default cp clones files where it can, and then makes no holes
            options = ("--sparse=always", "--reflink=never", "--")
            programs.run("cp", *options, source, programs.same_file(file.fd), fds=[file.fd])
            os.fsync(file.fd)
            umask = os.umask(0)
            os.umask(umask)
            os.fchmod(file.fd, 0o666 & ~umask)
            file.place(Path(destination))

    module.copyfile = copyfile
