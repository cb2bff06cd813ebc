"""Commands that root runs in a folder of another user's."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from .neighbour import IMAGE
from .prepared import Prepared

RUN = "0123abcd"
GIB = 1 << 30
CLI = (sys.executable, "-m", "bootstrapvz_sparse.cli")
STALE = f".{IMAGE}.0123abcd.bvz-sparse"
# A build that is killed: its record is there, and its folder with a file.
KILLED = """
import os, sys
from pathlib import Path
from bootstrapvz_sparse.builder.record import Record
record = Record(Path(sys.argv[1]) / sys.argv[2])
record.begin()
(record.folder / "deep").mkdir(parents=True)
record.note_folder()
(record.folder / "deep" / "file").write_text("of the build")
os._exit(9)
"""
MOVE = """
import sys
from pathlib import Path
from bootstrapvz_sparse.image.move import move
from bootstrapvz_sparse.util.errors import SparseError
try:
    move(Path(sys.argv[1]), Path(sys.argv[2]))
except (SparseError, OSError) as error:
    sys.exit(str(error))
"""
# The rename to another filesystem fails; the files are copied.
ACROSS = """
import errno, os
def rename(*names):
    raise OSError(errno.EXDEV, "")
os.rename = rename
"""


class Scenario(NamedTuple):
    """A command, the names that the neighbour swaps, and what it needs."""

    name: str
    command: Callable[[Path], list[str]]
    targets: tuple[str, ...] = (IMAGE, IMAGE, "temporary", "temporary", "folder")
    prepare: Callable[[Path, Prepared], object] = lambda place, image: image.write(place / IMAGE)
    program: str = ""
    clones: bool = False
    mounts: bool = False  # the filesystem, so that its metadata change
    opened: str = f'{IMAGE}"'  # in the call that decides which file is meant

    def skip_reason(self) -> str:
        """Return the program that is missing, ``""`` if it is there."""
        missing = self.program and not shutil.which(self.program)
        return f"{self.program} is not installed" if missing else ""

    def lost(self, image: Prepared, whole: Path) -> int:
        """Return 0 if some file in the folder ``whole`` still holds the image."""
        if self.name == "clean":
            return 0
        files = [path for path in whole.rglob("*") if path.is_file() and not path.is_symlink()]
        least = min((image.lost(path, longer=True) for path in files), default=1)
        if not least or not self.mounts:
            return least
        same = (path for path in files if path.stat().st_size == image.size)
        return min((image.lost_of_files(path) for path in same), default=1)


def _sparsify(method: str, *options: str) -> Scenario:
    def command(place: Path) -> list[str]:
        return [*CLI, "sparsify", "--quiet", "--method", method, *options, str(place / IMAGE)]

    name = f"{method}, discard" if "--reclaim" in options else method
    targets = (IMAGE, IMAGE, "folder")
    if method in ("copy", "reflink", "qemu-img"):
        targets = (IMAGE, "temporary", "temporary", "folder")
    program = "qemu-img" if method == "qemu-img" else ""
    return Scenario(
        name,
        command,
        targets,
        program=program,
        clones=method == "reflink",
        mounts="--reclaim" in options,
    )


def _tarball(place: Path) -> list[str]:
    return [*CLI, "tarball", str(place / IMAGE), str(place / "out.tar.gz")]


def _long(place: Path, image: Prepared) -> None:
    image.write(place / IMAGE)
    with (place / IMAGE).open("r+b") as file:
        file.truncate(GIB)


def _move(place: Path) -> list[str]:
    return [sys.executable, "-c", ACROSS + MOVE, str(place / IMAGE), str(place / "moved.raw")]


def _dead_build(place: Path, image: Prepared) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(place), RUN], check=False)
    (place / STALE).touch(0o600)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        _sparsify("punch"),
        _sparsify("copy"),
        _sparsify("reflink"),
        _sparsify("dig-holes"),
        _sparsify("qemu-img"),
        _sparsify("command", "--command", "fallocate --dig-holes"),
        _sparsify("punch", "--reclaim", "discard"),
        Scenario(
            "tarball",
            _tarball,
            (IMAGE, "temporary", "out.tar.gz", "folder"),
            _long,
        ),
        Scenario("move", _move, (IMAGE, "temporary", "moved.raw", "folder")),
        Scenario(
            "clean",
            lambda place: [*CLI, "clean", str(place)],
            (RUN, f".{RUN}.bvz-sparse", STALE, "folder", f"{RUN}/deep"),
            _dead_build,
            opened="",
        ),
    )
}


def leftovers(whole: Path) -> list[str]:
    """Return mounts and loop devices in the folder."""
    found = [line for line in Path("/proc/self/mountinfo").read_text().splitlines()
             if str(whole) in line]  # fmt: skip
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            path = file.read_text(errors="replace")
        except OSError:
            continue
        found += [f"{file.parent.parent.name}: {path.strip()}"] if str(whole) in path else []
    return found
