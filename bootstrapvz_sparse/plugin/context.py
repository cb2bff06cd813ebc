"""Types of the bootstrap-vz objects that the plugin uses, and the plugin's state of a build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..ledger.ledger import Ledger
from ..ledger.peak import Peak
from .backings import BACKINGS, Backing
from .settings import Settings


class Bytes(Protocol):
    """A size; ``bytes`` can be converted to a number of bytes."""

    bytes: Any


class Mount(Protocol):
    """A mount below the root; ``source`` is a partition or the path of a folder."""

    source: Any
    mount_dir: str


class Partition(Protocol):
    """A partition, or the whole disk if there are none."""

    filesystem: str | None
    device_path: str
    mount_dir: str
    mounts: dict[str, Mount]

    def add_mount(self, source: str, destination: str, options: list[str]) -> None:
        """Mount ``source`` below this partition."""

    def remove_mount(self, destination: str) -> None:
        """Unmount it again."""


class PartitionMap(Protocol):
    """The partitions of a volume."""

    root: Partition
    partitions: list[Partition]


class Volume(Protocol):
    """The disk being built; ``image_path`` is missing once it is deleted."""

    extension: str
    size: Bytes
    image_path: str
    partition_map: PartitionMap
    fsm: Any
    delete: Any

    def create(self, image_path: str) -> None:
        """Create the file by truncate(1)."""

    def _after_create(self, event: None) -> None: ...


class Manifest(Protocol):
    """The validated manifest."""

    name: str
    volume: Mapping[str, Any]
    bootstrapper: Mapping[str, Any]
    plugins: Mapping[str, Any]
    modules: Mapping[str, Any]


class Info(Protocol):
    """``BootstrapInformation``: the data shared by the tasks of a build.

    Each provider and plugin has its own dictionary, named after its module.
    """

    manifest: Manifest
    manifest_vars: Mapping[str, Any]
    volume: Volume
    workspace: str
    root: str
    run_id: str
    host_dependencies: dict[str, str]
    _gce: dict[str, str]
    _bootstrapvz_sparse: dict[str, Any]


@dataclass
class State:
    """The plugin's own state of a build.

    ``folder_sizes``: the largest folders of the image, in bytes; ``discarded``: the kinds of
    filesystems in which the kernel discarded free blocks before unmounting; ``finished``: nothing
    remains to be done to the image; ``kept``: a message that names the image kept after a later
    failure.
    """

    ledger: Ledger = field(default_factory=Ledger)
    peak: Peak | None = None
    folder_sizes: dict[str, int] = field(default_factory=dict)
    discarded: set[str] = field(default_factory=set)
    finished: bool = False
    kept: str = ""


def state(info: Info) -> State:
    """Return the state of this build, created on first use."""
    result: State = info._bootstrapvz_sparse.setdefault("state", State())
    return result


def settings(info: Info) -> Settings:
    """Return the settings of the manifest's block."""
    return Settings.of(info.manifest.plugins)


def backing(info: Info) -> Backing:
    """Return the capabilities of the volume's backing."""
    return BACKINGS[info.manifest.volume["backing"]]


def workspace(info: Info) -> Path:
    """Return the folder of finished images."""
    return Path(info.manifest.bootstrapper["workspace"])
