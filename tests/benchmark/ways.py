"""The ways to make an image sparse: ours and its peers."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass

# what commands are written with; replaced by paths before each run: EVERY by all copies
EVERY = "{every}"
IMAGE, COPY, POINT, TARBALL = "{image}", "{copy}", "{point}", "{tarball}"
Command = Sequence[str]

OURS = (sys.executable, "-m", "bootstrapvz_sparse.cli", "sparsify", "--quiet")
PACK = (sys.executable, "-m", "bootstrapvz_sparse.cli", "tarball", IMAGE, TARBALL)
# as bootstrap-vz 0.9.11 does for Compute Engine
TAR = ("tar", "--sparse", "-Pcaf", TARBALL, "--transform=s|.*|disk.raw|", IMAGE)
METADATA = (*OURS, "--method", "none", "--reclaim", "metadata", IMAGE)
ZEROFREE = ("zerofree", IMAGE)
DIG = ("fallocate", "--dig-holes", IMAGE)
RENAME = ("mv", COPY, IMAGE)
FSTRIM = (("mount", "-o", "loop", IMAGE, POINT), ("fstrim", POINT), ("umount", POINT))
E2FSCK = ("e2fsck", "-fy", "-E", "discard", IMAGE)

DEBIAN = ("10GiB", "200GiB")
HUGE = ("2TiB", "16TiB", "16TiB-xfs")
ALL = (*DEBIAN, "fragmented", *HUGE, "holes", "zeros", "small")


@dataclass(frozen=True)
class Way:
    name: str
    commands: Sequence[Command]
    images: Sequence[str] = DEBIAN
    slow: bool = False  # minutes at 200 GiB
    ours: bool = False
    mounts: bool = False  # and so needs root, and the kernel reads for it
    copies: int = 0  # bytes of second copy that are to be had ready
    together: int = 1  # copies of the image, each by a process of its own unless it takes EVERY

    def lack(self) -> str:
        """Return the reason why it cannot run; "" if it can."""
        if self.mounts and os.geteuid() != 0:
            return "mount needs root: sudo make bench"
        missing = {command[0] for command in self.commands if shutil.which(command[0]) is None}
        return f"not installed: {', '.join(sorted(missing))}" if missing else ""


GIB = 1 << 30

WAYS = (
    Way("ours", [(*OURS, IMAGE)], ALL, ours=True),
    Way("ours-metadata", [METADATA], ALL, ours=True),
    Way("ours-16KiB", [(*OURS, "--min-hole", "16KiB", IMAGE)], ["fragmented"], ours=True),
    Way("ours-64KiB", [(*OURS, "--min-hole", "64KiB", IMAGE)], ["fragmented"], ours=True),
    Way("ours-8-at-once", [(*OURS, IMAGE)], ["small"], ours=True, copies=4 * GIB, together=8),
    Way("ours-8-in-a-call", [(*OURS, EVERY)], ["small"], ours=True, copies=4 * GIB, together=8),
    Way("fstrim", FSTRIM, [*DEBIAN, "fragmented", "16TiB", "16TiB-xfs", "small"], mounts=True),
    Way("dig-holes", [DIG], ["holes", "zeros"]),
    Way("fstrim+dig-holes", [*FSTRIM, DIG], mounts=True),
    Way("e2fsck", [E2FSCK]),
    Way("e2fsck+dig-holes", [E2FSCK, DIG]),
    Way("e2image", [("e2image", "-ra", IMAGE, COPY), RENAME], copies=GIB),
    Way(
        "zerofree+cp",
        [ZEROFREE, ("cp", "--sparse=always", "--reflink=never", IMAGE, COPY), RENAME],
        slow=True,
        copies=GIB,
    ),
    Way("zerofree+dig-holes", [ZEROFREE, DIG], slow=True),
    Way(
        "zerofree+qemu-img",
        [ZEROFREE, ("qemu-img", "convert", "-f", "raw", "-O", "raw", IMAGE, COPY), RENAME],
        slow=True,
        copies=GIB,
    ),
    Way("virt-sparsify-in-place", [("virt-sparsify", "--in-place", IMAGE)], slow=True),
    Way(
        "virt-sparsify",
        [("virt-sparsify", "--format", "raw", IMAGE, COPY), RENAME],
        ["10GiB"],  # at 200 GiB its second copy could take as much
        copies=11 * GIB,
    ),
    # "extra" is the tarball
    Way("ours+tarball", [(*OURS, IMAGE), PACK], ["10GiB"], ours=True, copies=GIB),
    Way("tar", [TAR], ["10GiB"], copies=3 * GIB),
)
