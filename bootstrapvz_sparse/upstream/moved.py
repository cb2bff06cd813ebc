"""What bootstrap-vz imports from modules that Python 3 or setuptools no longer has."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen, urlretrieve

__all__ = ["HTTPError", "URLError", "iter_entry_points", "urlopen", "urlretrieve"]


def iter_entry_points(group: str, name: str | None = None) -> Iterator[EntryPoint]:
    """The one function that bootstrap-vz needs of pkg_resources.

    An entry point found twice (an egg-info folder beside an installed package) counts once.
    """
    found: Any = entry_points()
    members = found.select(group=group) if hasattr(found, "select") else found.get(group, ())
    unique = {(member.name, member.value): member for member in members}
    return (member for member in unique.values() if name in (None, member.name))
