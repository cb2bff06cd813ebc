"""Programs, run so that none of them outlives the benchmark."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path


class Failed(Exception):
    """A program, or what it was needed for, failed; the text says which and why."""


# Mounts made below this one vanish with its processes, and loop devices with the mounts.
PRIVATE_MOUNTS = ("unshare", "--mount")


def run(
    *command: str | Path,
    script: str = "",
    environment: Mapping[str, str] | None = None,
    watch: Callable[[], None] | None = None,
    patience: float = math.inf,
) -> str:
    """Return the output of ``command`` for the input ``script``; call ``watch`` 10 times a second.

    :raises Failed: it is not installed, its exit code is not 0, or it takes more than
        ``patience`` seconds (looked at only where there is a ``watch``)
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
            text=True,
            errors="replace",
            start_new_session=True,  # a process group, to end it as a whole
        )
    except FileNotFoundError as error:
        raise Failed(f"not installed: {error.filename}") from None
    start = time.monotonic()
    try:
        while True:
            try:
                said, complaints = process.communicate(script, timeout=0.1 if watch else None)
                break
            except subprocess.TimeoutExpired:
                assert watch
                watch()
                if time.monotonic() - start > patience:
                    raise Failed(f"given up after {patience:.0f} s") from None
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if process.returncode != 0:
        lines = (complaints.strip() or said.strip()).splitlines()[-3:]
        raise Failed(f"{Path(command[0]).name}: exit code {process.returncode}: {'; '.join(lines)}")
    return said
