"""Names that bootstrap-vz imports from modules of Python 2 and setuptools."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen, urlretrieve

__all__ = ["HTTPError", "URLError", "iter_entry_points", "urlopen", "urlretrieve"]


def iter_entry_points(group: str, name: str | None = None) -> Iterator[EntryPoint]:
    """Return the entry points of ``group``, as ``pkg_resources.iter_entry_points`` does.

    An entry point found twice (an egg-info folder beside an installed package) counts once.
    """
    every: Any = entry_points()  # a dict before Python 3.10
    members = every.select(group=group) if hasattr(every, "select") else every.get(group, ())
    unique = {(member.name, member.value): member for member in members}
    return (member for member in unique.values() if name in (None, member.name))
