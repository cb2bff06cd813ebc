"""Build filesystems, images on them, and fakes of programs."""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bootstrapvz_sparse.image import sparsify
from bootstrapvz_sparse.image.extents import allocated
from tests.support.methods import (
    IMAGE,
    SIZE,
)
from tests.support.mounting import bound, mounted, run
from tests.support.used import make_used


@pytest.fixture(scope="package")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """Build filesystems by kind, each mounted once for all tests here."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def folder(kind: str) -> Path:
            new = tmp_path_factory.mktemp(kind)
            if kind == "bindfs":
                return stack.enter_context(bound(folder("tmpfs"), new / "bound"))
            return stack.enter_context(mounted(kind, new, SIZE))

        yield folder


@pytest.fixture(scope="package")
def used(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A used ext4 filesystem, and the files in it: half of them were deleted, one is of zeros."""
    return make_used("ext4", tmp_path_factory.mktemp("used"), IMAGE)


@pytest.fixture
def make(
    used: tuple[Path, dict[str, bytes]], folders: Callable[[str], Path]
) -> Iterator[Callable[..., Path]]:
    """Makes copies of the used filesystem, all of their blocks allocated."""
    made = []

    def image(kind: str = "ext4", name: str = "image") -> Path:
        path = folders(kind) / name
        run("cp", "--sparse=never", "--reflink=never", used[0], path)
        run("sync", path)
        made.append(path)
        return path

    yield image
    for path in made:
        beside = [each for each in path.parent.iterdir() if each.name != "lost+found"]
        for each in beside:
            each.unlink()
        # whatever the test was about, no temporary file may be left
        assert not [each for each in beside if each.name.startswith(".")]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Puts a shell script in the place of a program. Its ``$from`` and ``$to`` are the last two
    arguments, ``$all`` are all of them, one in a line, in the file of that name beside it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    def write(name: str, script: str) -> Path:
        program = folder / name
        program.write_text(
            "#!/bin/sh\n"
            f'printf "%s\\n" "$@" >{shlex.quote(str(program))}.arguments\n'
            f"for each; do from=$to to=$each; done\nreal={shutil.which(name)}\n{script}\n"
        )
        program.chmod(0o755)
        return program

    return write


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may use; pytest's are root's alone."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        yield Path(name)


@pytest.fixture(scope="package")
def by_digging(
    used: tuple[Path, dict[str, bytes]], folders: Callable[[str], Path]
) -> Callable[[str], int]:
    """Return the bytes that fallocate(1) leaves where the free blocks are holes.

    That is more than need be if zeros end before a hole and begin again behind it: util-linux 2.38
    to 2.41 punch them together, as if there were no hole between them, and so not to their end.
    """

    @functools.cache
    def left(kind: str) -> int:
        path = folders(kind) / "dug"
        run("cp", "--sparse=never", "--reflink=never", used[0], path)
        sparsify(path, method="command", command=["true"])
        run("fallocate", "--dig-holes", path)
        size = allocated(path.stat())
        path.unlink()
        return size

    return left


@pytest.fixture(scope="package")
def by_punching(
    used: tuple[Path, dict[str, bytes]], folders: Callable[[str], Path]
) -> Callable[[str], int]:
    """Return the bytes that the method punch leaves of the used filesystem."""

    @functools.cache
    def left(kind: str) -> int:
        path = folders(kind) / "punched"
        run("cp", "--sparse=never", "--reflink=never", used[0], path)
        report = sparsify(path, method="punch")
        path.unlink()
        return report.after

    return left
