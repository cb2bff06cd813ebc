"""The root folder of an image for tests, and bootstrap-vz's information on its build."""

from __future__ import annotations

import builtins
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bootstrapvz.base.bootstrapinfo import DictClass
from bootstrapvz.base.pkg.packagelist import PackageList
from bootstrapvz.base.pkg.sourceslist import SourceLists
from bootstrapvz.common.releases import get_release


class Image:
    """The folder ``root`` of an image in the workspace of a build."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.root = workspace / "root"
        self.root.mkdir()

    def write(self, path: str, content: bytes = b"") -> str:
        """Write a file into the image; return its path on the host."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return str(file)

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def make_folders(self, *paths: str) -> None:
        for path in paths:
            (self.root / path).mkdir(parents=True)

    def guard_host(self) -> None:
        """Let nothing outside the image be opened for writing, or be linked there."""
        opened, linked = builtins.open, os.symlink

        def guarded_open(path: Any, mode: str = "r", *arguments: Any, **keywords: Any) -> Any:
            assert mode in ("r", "rb") or str(path).startswith(str(self.root)), path
            return opened(path, mode, *arguments, **keywords)

        def guarded_symlink(source: Any, path: Any, *arguments: Any, **keywords: Any) -> None:
            assert str(path).startswith(str(self.root)), path
            linked(source, path, *arguments, **keywords)

        builtins.open = guarded_open
        os.symlink = guarded_symlink

    def info(self, release: str = "bookworm", **attributes: Any) -> SimpleNamespace:
        """Return information on a build of this image, and ``attributes`` of the caller."""
        system = DictClass(release=release, architecture="amd64")
        variables = {"system": system, "apt_mirror": "http://mirror/"}
        lists = SourceLists(variables)
        manifest = SimpleNamespace(
            release=get_release(release),
            system=system,
            plugins={},
            packages={},
            bootstrapper={"workspace": str(self.workspace)},
            provider={},
            path="/",
            name="name",
        )
        return SimpleNamespace(
            **{
                "root": str(self.root),
                "workspace": str(self.workspace),
                "manifest": manifest,
                "manifest_vars": variables,
                "source_lists": lists,
                "packages": PackageList(variables, lists),
                "apt_mirror": "http://m/",
                "include_packages": set(),
                "exclude_packages": set(),
                **attributes,
            }
        )
