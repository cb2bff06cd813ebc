"""bootstrap-vz as the tests need it: 0.9.11 translated, and one that is Python 3 code."""

from __future__ import annotations

import ast
import importlib.util
import shutil
import warnings
from pathlib import Path

import pytest

from bootstrapvz_sparse import upstream
from bootstrapvz_sparse.upstream import registry
from bootstrapvz_sparse.upstream.translate import translate

upstream.install()  # before a test imports bootstrap-vz


# applies a repair at the end of the module
APPENDED = """
import sys
from {0.__module__} import {0.__name__}
{0.__name__}(sys.modules[__name__])
"""


@pytest.fixture(scope="session")
def maintained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a bootstrap-vz in Python 3 that lacks the repairs which the fork needs too."""
    spec = importlib.util.find_spec("bootstrapvz")
    assert spec is not None and spec.origin is not None
    source, folder = Path(spec.origin).parent, tmp_path_factory.mktemp("maintained")
    package = folder / "bootstrapvz"
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escape sequences
        for path in package.rglob("*.py"):
            original = source / path.relative_to(package)
            path.write_text(ast.unparse(translate(original.read_text("utf-8"), str(original))))
    for (module, _), (function, fork_too) in registry.REPAIRS.items():
        if not fork_too:
            path = folder / Path(*module.split("."))
            path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            with path.open("a") as file:
                file.write(APPENDED.format(function))
    return str(folder)
