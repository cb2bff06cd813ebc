"""File systems changed without mounting them, which needs no root."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path


def within(path: Path, offset: int) -> str:
    """Return the name that e2fsprogs take for the filesystem at a byte of an image."""
    return f"{path}?offset={offset}" if offset else str(path)


def spelled(command: Sequence[str]) -> list[str]:
    """Return a command line of mke2fs(8), with ``-r 0 -O none`` as the installed version wants it.

    mke2fs 1.47.2 has ``-E revision=0`` instead, and refuses ``-O none`` beside it.
    """
    new = list(command)
    if "-r" in new and "revision=" in _extended_options():
        at = new.index("-r")
        assert new[at : at + 4] == ["-r", "0", "-O", "none"]
        new[at : at + 4] = [] if "-E" in new else ["-E", "revision=0"]
        if "-E" in command:  # of two the last one counts
            new[new.index("-E") + 1] += ",revision=0"
    return new


@cache
def _extended_options() -> str:
    """Return the list of options that mke2fs(8) prints for one that it does not know."""
    with tempfile.NamedTemporaryFile() as file:
        file.truncate(1 << 20)
        command = ["mke2fs", "-n", "-F", "-E", "?", file.name]
        done = subprocess.run(command, capture_output=True, text=True)
    assert "Valid extended options" in done.stderr
    return done.stderr


def debugfs(path: Path, *commands: str, offset: int = 0, write: bool = True) -> str:
    """Run debugfs(8) commands on the image at ``path``; what it says, each command before it."""
    script = "".join(f"{command}\n" for command in commands)
    done = subprocess.run(
        ["debugfs", *["-w"] * write, "-f", "-", within(path, offset)],
        input=script,
        text=True,
        capture_output=True,
        check=True,
    )
    return done.stdout


def check(path: Path, offset: int = 0) -> str:
    """Return the errors that e2fsck finds; "" if there are none."""
    name = within(path, offset)
    done = subprocess.run(["e2fsck", "-fn", name], capture_output=True, text=True)
    return done.stdout.replace(str(path), "") if done.returncode else ""


def mend(path: Path, offset: int = 0) -> None:
    """Let e2fsck put in order what debugfs leaves as it was: quotas."""
    done = subprocess.run(["e2fsck", "-fy", within(path, offset)], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stdout
