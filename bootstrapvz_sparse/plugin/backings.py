"""What can be done about each kind of volume that bootstrap-vz builds on."""

from __future__ import annotations

from typing import NamedTuple

from ..image.methods import METHODS


class Backing(NamedTuple):
    """The values of ``reclaim`` and ``sparsify`` that a backing can do.

    ``format``: what QEMU calls its files where they are not the bytes of the disk.
    ``loop``: it is attached as a loop device, which passes discarded blocks on to the file.
    """

    reclaim: tuple[str, ...]
    sparsify: tuple[str, ...]
    format: str | None = None
    loop: bool = False


# qemu-nbd attaches them, and ignores what is discarded
_CONVERTED = ("auto", "metadata", "zerofree", "none"), ("auto", "qemu-img", "none")
_RAW = Backing(("auto", "metadata", "discard", "zerofree", "none"), ("auto", *METHODS), loop=True)

# In the words of a manifest. folder, ebs and lvm are no files of a disk.
BACKINGS = {
    "raw": _RAW,
    "s3": _RAW,
    # of a fixed size: the bytes of the disk, and a footer behind them
    "vhd": Backing(_CONVERTED[0], _RAW.sparsify),
    "vdi": Backing(*_CONVERTED, format="vdi"),
    "vmdk": Backing(*_CONVERTED, format="vmdk"),
    "qcow2": Backing(*_CONVERTED, format="qcow2"),
}
