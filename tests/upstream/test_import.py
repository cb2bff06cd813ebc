"""The import hook: when it is installed, and what it does to a maintained bootstrap-vz."""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bootstrapvz_sparse import upstream
from bootstrapvz_sparse.upstream import importer, registry

from .image import Image
from .needs import passes
from .runner import run


def check_maintained_is_not_translated(image: Image) -> None:
    import bootstrapvz.base.phase
    import bootstrapvz.common.tasks.host

    assert not upstream.install()
    assert importer.TranslatingFinder not in sys.meta_path
    assert sys.meta_path.count(importer.RepairingFinder) == 1
    assert type(bootstrapvz.base.phase.__loader__) is importlib.machinery.SourceFileLoader
    loader = bootstrapvz.common.tasks.host.__loader__
    assert isinstance(loader, importer.RepairingLoader)


def check_maintained_lacks_no_assets(image: Image) -> None:
    class Task(type):
        def __repr__(cls) -> str:
            return "bootstrapvz.providers.ec2.tasks.initd.AddEC2InitScripts"

    assert upstream.unavailable([Task("T", (), {})]) == []


VOLUME = {"backing": "raw", "partitions": {"type": "none", "root": {"filesystem": "ext4"}}}


def check_loaded_modules_are_repaired(image: Image) -> None:
    """Import modules as the program bootstrap-vz of the fork does, then the plugin."""
    sys.meta_path.remove(importer.RepairingFinder)
    from bootstrapvz.common.tasks import cleanup

    original = cleanup.ClearMOTD.run.__func__
    import bootstrapvz_sparse

    data = {"plugins": {"sparse": {}}, "volume": VOLUME, "provider": {"name": "kvm"}}
    bootstrapvz_sparse.validate_manifest(data, lambda *_: None, lambda *_: None)
    assert cleanup.ClearMOTD.run.__func__ is not original
    repaired = cleanup.ClearMOTD.run
    assert not upstream.install()
    assert cleanup.ClearMOTD.run == repaired, "repaired twice"


@pytest.mark.parametrize(
    "check",
    [
        check_maintained_is_not_translated,
        check_maintained_lacks_no_assets,
        check_loaded_modules_are_repaired,
    ],
    ids=lambda check: check.__name__,
)
def test_maintained(check: Callable[..., None], tmp_path: Path, maintained: str) -> None:
    passes(check, tmp_path / "run", maintained)


def check_untranslated_import_is_refused(image: Image) -> None:
    sys.meta_path.remove(importer.TranslatingFinder)
    with pytest.raises(ImportError, match=r"untranslated \(call .*upstream\.install first\)"):
        upstream.install()


def test_refuses_bootstrapvz_imported_before(tmp_path: Path) -> None:
    process = run(check_untranslated_import_is_refused, tmp_path / "run")
    assert process.returncode == 0, process.stderr


def test_applies_only_marked_repairs_to_maintained() -> None:
    every, some = registry.modules(maintained=False), registry.modules(maintained=True)
    assert some < every
    assert "bootstrapvz.common.tasks.cleanup" in some and "bootstrapvz.base.phase" not in some


def test_names_asset_missing_from_pypi() -> None:
    class Task(type):
        def __repr__(cls) -> str:
            return "bootstrapvz.plugins.docker_daemon.tasks.AddDockerInit"

    [line] = upstream.unavailable([Task("T", (), {})])
    assert line == (
        "bootstrapvz.plugins.docker_daemon.tasks.AddDockerInit: init.d/docker is missing from "
        "bootstrap-vz on PyPI"
    )
