"""Dry runs of manifests, by this Python or another one."""

from __future__ import annotations

import subprocess
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
MANIFESTS = sorted(path.stem for path in (HERE / "manifests").glob("*.yml"))
MODULES = 176  # of bootstrap-vz 0.9.11

# tasks that our repairs add
ADDED = {"gce": ["bootstrapvz.common.tasks.ssh.ShredHostkeys"]}


def run_python(interpreter: Path | str, *arguments: str | Path) -> str:
    """Run ``interpreter`` where every warning is an error; return its output."""
    process = subprocess.run(
        [interpreter, "-W", "error", *arguments],
        capture_output=True,
        text=True,
        cwd="/",
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def scheduled(interpreter: Path | str) -> dict[str, list[str]]:
    """Return the tasks that each manifest schedules, in order."""
    paths = [HERE / "manifests" / f"{manifest}.yml" for manifest in MANIFESTS]
    output = run_python(interpreter, HERE / "list_tasks.py", *paths)
    lists = output.split("\n\n")
    assert lists.pop() == ""
    return dict(zip(MANIFESTS, map(str.splitlines, lists)))


def recorded(manifest: str) -> list[str]:
    """Return the tasks that ``manifest`` schedules on Python 2.7, and those of our repairs."""
    tasks = (HERE / "recorded" / f"{manifest}.txt").read_text().splitlines()
    assert tasks
    return tasks + ADDED.get(manifest, [])
