"""The settings that each kind of volume supports."""

from __future__ import annotations

from typing import NamedTuple

from ..image.methods import METHODS


class Backing(NamedTuple):
    """The values of ``reclaim`` and ``sparsify`` that a backing supports.

    ``format``: QEMU's name of its file format, where the file is not raw.
    ``loop``: it is attached as a loop device, which passes discards on to the file.
    """

    reclaim: tuple[str, ...]
    sparsify: tuple[str, ...]
    format: str | None = None
    loop: bool = False


# qemu-nbd attaches them, and ignores discards
_CONVERTED = ("auto", "metadata", "zerofree", "none"), ("auto", "qemu-img", "none")
_RAW = Backing(("auto", "metadata", "discard", "zerofree", "none"), ("auto", *METHODS), loop=True)

# Keys are the names in a manifest; folder, ebs and lvm are not image files.
BACKINGS = {
    "raw": _RAW,
    "s3": _RAW,
    # of fixed size: a raw disk with a footer
    "vhd": Backing(_CONVERTED[0], _RAW.sparsify),
    "vdi": Backing(*_CONVERTED, format="vdi"),
    "vmdk": Backing(*_CONVERTED, format="vmdk"),
    "qcow2": Backing(*_CONVERTED, format="qcow2"),
}
