"""Constants and helpers of the tests of the methods."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from bootstrapvz_sparse.image.methods import METHODS

MIB = 1 << 20
SIZE = 320 * MIB  # of a build filesystem; the least that mkfs.xfs takes is 300 MiB
IMAGE = 64 * MIB
EXTENTS = 64 * 1024  # a list of extents may take that, and differs from method to method

VIRT = ("virt-sparsify", "virt-sparsify-copy")
SECOND = ("copy", "reflink", "qemu-img")  # those that replace the image
DIGGING = ("dig-holes", "command")  # that run fallocate(1): see other_method
OTHERS = [name for name in METHODS if name not in VIRT]


def content(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(MIB):
            digest.update(chunk)
    return digest.hexdigest()


def other_method(name: str) -> dict[str, object]:
    command = ("fallocate", "--dig-holes") if name == "command" else ()
    return {"method": name, "command": command, "verify": True}


def make_whole(make: Callable[..., Path], kind: str) -> Path:
    """An image, made by the real cp whatever is in its place."""
    path = os.environ["PATH"]
    os.environ["PATH"] = path.partition(os.pathsep)[2]
    try:
        return make(kind)
    finally:
        os.environ["PATH"] = path
