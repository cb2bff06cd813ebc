"""File systems changed without mounting them, which needs no root."""

from __future__ import annotations

import subprocess
from pathlib import Path


def within(path: Path, offset: int) -> str:
    """What e2fsprogs call the filesystem at a byte of an image."""
    return f"{path}?offset={offset}" if offset else str(path)


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
    """What e2fsck finds wrong."""
    name = within(path, offset)
    done = subprocess.run(["e2fsck", "-fn", name], capture_output=True, text=True)
    return done.stdout.replace(str(path), "") if done.returncode else ""


def mend(path: Path, offset: int = 0) -> None:
    """Let e2fsck put in order what debugfs leaves as it was: quotas."""
    done = subprocess.run(["e2fsck", "-fy", within(path, offset)], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stdout
