"""Run a program on a :class:`.view.Map` as if it were a separate, read-only file.

No mount that others can see, loop device or file remains when the program ends or this process is
killed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..util import loop, programs
from ..util.errors import CheckUnavailable, ProgramMissing
from ..util.view_server.pieces import SHOWN, pack
from .view import Map

WAYS = ("namespace", "fusermount3", "loop")  # the best first

ROOT = os.path.abspath(f"{__file__}/../../..")  # a folder or a zip archive with our package
PROGRAM = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from bootstrapvz_sparse.util.view_server.main import main; main()"
)


def run(
    where: Map, fd: int, program: str, *arguments: str, offset: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run ``program`` on the map ``where`` of the open image ``fd``; ``@`` stands for its path.

    A whole image needs no view: the program reads it directly. The same is true of a single piece
    if the program supports ``offset``, which is appended to the path with ``{}`` replaced by the
    number of bytes.

    :raises ProgramMissing: it is not installed
    :raises CheckUnavailable: the map cannot be shown on this machine
    """
    command = [programs.find(program), *arguments]
    pieces = [(start, end - start) for start, end in where.to_image([(0, where.size)])]
    whole = pieces == [(0, os.fstat(fd).st_size)]
    if whole or (offset and len(pieces) == 1):
        path = programs.same_file(fd) + ("" if whole else offset.format(pieces[0][0]))
        return programs.run(
            *(path if part == "@" else part for part in command), fds=[fd], check=False
        )
    reasons = []
    for way in WAYS:
        with _memory_file(pack(pieces)) as packed, _memory_file() as reason:
            try:
                finished = _run(way, (fd, packed, reason), command)
            except ProgramMissing as missing:
                reasons.append(f"{way}: {missing}")
                continue
            text = os.pread(reason, 1 << 12, 0).decode(errors="replace")
            if text == SHOWN:
                return finished
            reasons.append(f"{way}: {text or programs.last_line(finished.stderr)}")
    raise CheckUnavailable(f"{program}: cannot show it the filesystem ({'; '.join(reasons)})")


def _run(
    way: str, fds: tuple[int, int, int], command: list[str]
) -> subprocess.CompletedProcess[str]:
    helper = programs.find("fusermount3") if way == "fusermount3" else loop.name_of_ours()
    return programs.run(
        _interpreter(),
        *("-I", "-S", "-c", PROGRAM, ROOT),
        *(way, str(os.getpid()), ",".join(map(str, fds)), helper),
        *command,
        fds=fds,
        check=False,
    )


def _interpreter() -> str:
    """Return the running Python, or any other if its path cannot be used."""
    if sys.executable and os.access(sys.executable, os.X_OK):
        return sys.executable
    return programs.find("python3")


@contextmanager
def _memory_file(content: bytes = b"") -> Iterator[int]:
    fd = os.memfd_create("bvz-sparse")
    try:
        os.pwrite(fd, content, 0)
        yield fd
    finally:
        os.close(fd)
