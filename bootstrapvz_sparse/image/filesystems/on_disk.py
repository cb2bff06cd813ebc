"""On-disk structures, declared by the name, offset and format of each field."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import starmap
from typing import Generic, TypeVar, get_type_hints

T = TypeVar("T")


class Layout(Generic[T]):
    """The layout of a NamedTuple of fields ``name: Annotated[type, offset, format]``.

    ``order`` and each format are those of the module struct. Bytes between the fields are
    skipped. Fields at ``size`` and beyond keep their defaults. A module that declares such
    structures must not import ``annotations`` from ``__future__``, which makes them text.
    """

    def __init__(self, record: Callable[..., T], order: str, size: int) -> None:
        self.size = size
        self._record = record
        position, formats = 0, [order]
        for name, hint in get_type_hints(record, include_extras=True).items():
            offset, format = hint.__metadata__
            if offset >= size:
                break
            if offset < position:
                raise ValueError(f"{name}: overlaps the field before it")
            formats.append(f"{offset - position}x{format}")
            position = offset + struct.calcsize(order + format)
        self._struct = struct.Struct("".join([*formats, f"{size - position}x"]))

    def unpack(self, raw: bytes, offset: int = 0) -> T:
        """Return the structure at ``offset``."""
        return self._record(*self._struct.unpack_from(raw, offset))

    def iter_unpack(self, raw: bytes) -> Iterator[T]:
        """Return the structures that follow one another in ``raw``, a multiple of their size."""
        return starmap(self._record, self._struct.iter_unpack(raw))
