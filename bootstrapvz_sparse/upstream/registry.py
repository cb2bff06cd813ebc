"""The list of repairs, by the bootstrap-vz module that each of them changes.

No other code in this project replaces a part of bootstrap-vz. A repair is a function that receives
a module directly after the module's code has run, before any importer can use it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

# bootstrap-vz's modules and tasks have no types
Function = Callable[[Any], None]


class Repair(NamedTuple):
    """A function that changes a module; ``fork_too``: a maintained bootstrap-vz needs it, too."""

    function: Function
    fork_too: bool


# by module (full dotted name) and name of the function; applied in the order of registration
REPAIRS: dict[tuple[str, str], Repair] = {}


def repair(*modules: str, fork_too: bool) -> Callable[[Function], Function]:
    """Register the decorated function as a repair of ``modules`` (full dotted names).

    ``fork_too``: a maintained bootstrap-vz, which is Python 3 code, needs the repair as well.
    """

    def register(function: Function) -> Function:
        for module in modules:
            REPAIRS[module, function.__name__] = Repair(function, fork_too)
        return function

    return register


def modules(*, maintained: bool) -> frozenset[str]:
    """Return the names of the modules that have a repair to apply."""
    return frozenset(
        name for (name, _), entry in REPAIRS.items() if entry.fork_too or not maintained
    )


def apply(module: ModuleType, *, maintained: bool) -> None:
    """Apply the repairs of ``module``, once.

    ``maintained``: it belongs to a maintained bootstrap-vz, which needs only some of them.
    """
    for (name, _), entry in REPAIRS.items():
        if name == module.__name__ and (entry.fork_too or not maintained):
            entry.function(module)


def apply_to_loaded() -> None:
    """Apply the repairs of modules that were imported before our import hook was installed.

    Only a maintained bootstrap-vz can have any: its own program ``bootstrap-vz`` imports most of
    the package before it imports its plugins, such as this one.
    """
    for name in modules(maintained=True):
        if name in sys.modules:
            apply(sys.modules[name], maintained=True)
