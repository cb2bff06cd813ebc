"""A finder that translates and repairs the modules of ``bootstrapvz`` while they are imported.

Nothing is cached on disk: root would execute such a cache, and translating all of bootstrap-vz
takes a fraction of a second.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
import warnings
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from . import debian, python3, registry  # noqa: F401  the repairs register themselves
from .lacking import lacking
from .translate import imports_siblings_implicitly, translate

PACKAGE = "bootstrapvz"
OF_DEBIAN = Path("/usr/share/doc/bootstrapvz-sparse/README.Debian")  # of the Debian package


class Loader(SourceFileLoader):
    """Loads one module of bootstrap-vz from its Python 2 source."""

    def get_code(self, fullname: str) -> CodeType:
        """Always from the source: pip has put untranslated byte code into ``__pycache__``."""
        source = importlib.util.decode_source(self.get_data(self.path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escape sequences in upstream's strings
            tree = translate(source, self.path)
            code: CodeType = compile(tree, self.path, "exec", dont_inherit=True)
        return code

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        registry.apply(module)


class Finder:
    """The entry in ``sys.meta_path``."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != PACKAGE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = Loader(spec.loader.name, spec.loader.path)
            spec.cached = None
        return spec


def is_python2(folder: Path) -> bool:
    """Tell whether the ``bootstrapvz`` package in ``folder`` is Python 2 source.

    Recognised by how ``base/__init__.py`` imports its siblings, never by a version number.
    """
    try:
        tree = ast.parse((folder / "base" / "__init__.py").read_bytes())
    except SyntaxError:
        return True
    return imports_siblings_implicitly(tree, str(folder / "base"))


def unavailable(tasks: Iterable[object]) -> list[str]:
    """Name the scheduled ``tasks`` that cannot run, with the file that each of them lacks."""
    return lacking(tasks) if Finder in sys.meta_path else []


def install() -> bool:
    """Make ``import bootstrapvz`` work; tell whether the layer is needed for that.

    :raises ImportError: bootstrap-vz is not installed, or was imported before this call
    """
    if Finder in sys.meta_path:
        return True
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        how = f"see {OF_DEBIAN}" if OF_DEBIAN.exists() else "pip install bootstrap-vz"
        raise ImportError(f"bootstrap-vz is not installed ({how})")
    if not is_python2(Path(spec.origin).parent):
        return False
    if PACKAGE in sys.modules:
        raise ImportError("bootstrapvz was imported before its translation was installed")
    sys.meta_path.insert(0, Finder)
    return True
