"""Every repair and every substitution has a test that fails without it."""

from __future__ import annotations

import importlib
import pkgutil

import tests.upstream
from bootstrapvz_sparse.upstream import registry, translate

from .needs import TESTED


def test_every_repair_is_tested() -> None:
    for module in pkgutil.iter_modules(tests.upstream.__path__, "tests.upstream."):
        if module.name.rpartition(".")[2].startswith("test_"):
            importlib.import_module(module.name)
    repairs = {f"{module}:{name}" for module, name in registry.REPAIRS}
    assert repairs | set(translate.SUBSTITUTIONS) == TESTED
