"""The cause of a failed build, in one or a few lines."""

from __future__ import annotations

import shlex
import subprocess

from ..util.errors import SparseError

MAX_COMMAND = 80  # characters of a command in a message


class BuildError(SparseError):
    """The build is refused or has failed; the text says why."""


def cause(error: BaseException, last_line: str = "") -> str:
    """Return the cause in one line; ``last_line`` is the last one that a program printed."""
    if isinstance(error, KeyboardInterrupt):
        return f"interrupted by {error}" if str(error) else "interrupted"
    if isinstance(error, subprocess.CalledProcessError):
        # bootstrap-vz keeps stderr; debootstrap reports its errors on stdout
        output = error.output or last_line
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        reason = f": {lines[-1]}" if lines else ""
        command = error.cmd if isinstance(error.cmd, str) else shlex.join(error.cmd)
        if len(command) > MAX_COMMAND:
            command = f"{command[: MAX_COMMAND - 3]}..."
        return f"`{command}' ended with status {error.returncode}{reason}"
    text = " ".join(str(error).split())
    return text or type(error).__name__
