"""The decorator of tests that must fail without a repair."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bootstrapvz_sparse.upstream import registry

from .runner import CHECK_FAILED, run

TESTED: set[str] = set()  # repairs and substitutions


def key(module: str, name: str) -> str:
    """Return the name of a repair, as the runner takes it."""
    return f"{module}:{name}"


def is_needed_by_fork(repair: str) -> bool:
    """Return whether a repair is applied to a maintained bootstrap-vz, too."""
    module, _, name = repair.partition(":")
    return ":" in repair and registry.REPAIRS[module, name].fork_too


def needs(*repairs: str) -> Callable[[Callable[..., None]], Any]:
    """Turn a function into a test: it passes, and fails without each of ``repairs``.

    A repair is named ``MODULE:REPAIR``, a substitution by its file. Each run has a Python of its
    own; one that a maintained bootstrap-vz needs as well is tested with that, too.
    """
    TESTED.update(repairs)

    def decorate(check: Callable[..., None]) -> Any:
        def test(tmp_path: Path, maintained: str) -> None:
            passes(check, tmp_path / "with")
            for number, repair in enumerate(repairs):
                fails(check, tmp_path / f"without-{number}", repair)
            if all(map(is_needed_by_fork, repairs)):
                passes(check, tmp_path / "maintained", maintained)
                for number, repair in enumerate(repairs):
                    fails(check, tmp_path / f"maintained-{number}", repair, maintained)

        test.__name__, test.__module__, test.__doc__ = (
            check.__name__,
            check.__module__,
            check.__doc__,
        )
        test.check = check  # type: ignore[attr-defined]
        return test

    return decorate


def passes(check: Callable[..., None], folder: Path, path: str = "") -> None:
    process = run(check, folder, path=path)
    assert process.returncode == 0, process.stderr


def fails(check: Callable[..., None], folder: Path, repair: str, path: str = "") -> None:
    try:
        process = run(check, folder, without=[repair], path=path)
    except subprocess.TimeoutExpired:
        return
    assert process.returncode != 0, f"{check.__name__} passes without {repair}"
    assert process.returncode == CHECK_FAILED, process.stderr
