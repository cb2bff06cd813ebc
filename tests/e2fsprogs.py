"""File systems changed without mounting them, which needs no root."""

from __future__ import annotations

import subprocess
from pathlib import Path


def debugfs(path: Path, *commands: str) -> str:
    """Run debugfs(8) commands on the image at ``path``; what it says, each command before it."""
    script = "".join(f"{command}\n" for command in commands)
    done = subprocess.run(
        ["debugfs", "-w", "-f", "-", path], input=script, text=True, capture_output=True, check=True
    )
    return done.stdout
