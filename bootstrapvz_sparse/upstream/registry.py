"""The repairs, by the module that each of them mends.

A repair is a function that gets a module right after it has been executed and before anybody
else sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

# bootstrap-vz's modules and tasks have no types that a checker could know
Repair = Callable[[Any], None]

REPAIRS: dict[tuple[str, str], Repair] = {}


def repair(*modules: str) -> Callable[[Repair], Repair]:
    """Register the decorated function as a repair of ``modules`` (full dotted names)."""

    def register(function: Repair) -> Repair:
        for module in modules:
            REPAIRS[module, function.__name__] = function
        return function

    return register


def apply(module: ModuleType) -> None:
    """Run every repair of ``module``."""
    for (name, _), function in REPAIRS.items():
        if name == module.__name__:
            function(module)
