"""Translate and repair the modules of ``bootstrapvz`` while they are imported.

Nothing is cached on disk, since root would execute such a cache. Translating all of bootstrap-vz
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

from . import grub, loop_partitions, registry, repairs  # noqa: F401  they register their repairs
from .missing import missing_assets
from .translate import imports_siblings_implicitly, translate

PACKAGE = "bootstrapvz"
DEBIAN_README = Path("/usr/share/doc/bootstrapvz-sparse/README.Debian")  # of the Debian package


class TranslatingLoader(SourceFileLoader):
    """A loader of one module that is Python 2 source."""

    def get_code(self, fullname: str) -> CodeType:
        """Compile the source; pip's byte code in ``__pycache__`` is of the untranslated source."""
        source = importlib.util.decode_source(self.get_data(self.path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escape sequences in upstream's strings
            tree = translate(source, self.path)
            code: CodeType = compile(tree, self.path, "exec", dont_inherit=True)
        return code

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        registry.apply(module, maintained=False)


class RepairingLoader(SourceFileLoader):
    """A loader of one module of a maintained bootstrap-vz."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        registry.apply(module, maintained=True)


class TranslatingFinder:
    """An entry of ``sys.meta_path`` for bootstrap-vz 0.9.11."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != PACKAGE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = TranslatingLoader(spec.loader.name, spec.loader.path)
            spec.cached = None
        return spec


class RepairingFinder:
    """An entry of ``sys.meta_path`` for a maintained bootstrap-vz; it finds repaired modules."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in registry.modules(maintained=True):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = RepairingLoader(spec.loader.name, spec.loader.path)
        return spec


def is_python2(folder: Path) -> bool:
    """Return whether the ``bootstrapvz`` package in ``folder`` is Python 2 source.

    The criterion is how ``base/__init__.py`` imports its siblings, not a version number.
    """
    try:
        tree = ast.parse((folder / "base" / "__init__.py").read_bytes())
    except SyntaxError:
        return True
    return imports_siblings_implicitly(tree, str(folder / "base"))


def unavailable(tasks: Iterable[object]) -> list[str]:
    """Return a line for each scheduled task whose asset is missing, with the name of the asset."""
    return missing_assets(tasks) if TranslatingFinder in sys.meta_path else []


def install() -> bool:
    """Install the import hook; return whether bootstrap-vz is translated.

    A second call changes nothing.

    :raises ImportError: bootstrap-vz is not installed, or it is Python 2 source and was imported
        before this call
    """
    if TranslatingFinder in sys.meta_path or RepairingFinder in sys.meta_path:
        return TranslatingFinder in sys.meta_path
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        remedy = f"see {DEBIAN_README}" if DEBIAN_README.exists() else "pip install bootstrap-vz"
        raise ImportError(f"bootstrap-vz is not installed ({remedy})")
    if not is_python2(Path(spec.origin).parent):
        sys.meta_path.insert(0, RepairingFinder)
        registry.apply_to_loaded()
        return False
    if PACKAGE in sys.modules:
        raise ImportError(
            "bootstrapvz was imported untranslated (call bootstrapvz_sparse.upstream.install first)"
        )
    sys.meta_path.insert(0, TranslatingFinder)
    return True
