"""The record that describes one kind of filesystem."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..view import Map
from .free_space import FreeSpace

Reader = Callable[[Map], FreeSpace]


class Kind(NamedTuple):
    """A kind of filesystem.

    ``types``: its names in the output of blkid(8). ``reader``: finds the free space, or raises
    UntrustedMetadata; None where only the kernel knows it. ``checker``: the program that examines
    it, "" if there is none. ``discardable``: the kernel can mount it and supports FITRIM. ``mkfs``:
    the programs that create it.
    """

    name: str
    types: tuple[str, ...]
    reader: Reader | None
    checker: str
    discardable: bool
    mkfs: tuple[str, ...]
