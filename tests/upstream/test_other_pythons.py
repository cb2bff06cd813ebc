"""bootstrap-vz 0.9.11 on the oldest and the newest Python, and installed by their pip."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.support.unable import unable
from tests.support.wheel import build

from .dry_runs import HERE, MANIFESTS, MODULES, recorded, run_python, scheduled

VERSIONS = ("3.9", "3.13")

# The packages that importing all of bootstrap-vz takes, with their dependencies: no boto, which
# is imported late and takes pip longer than all others together.
PACKAGES = (
    *("attrs", "bootstrap-vz", "certifi", "charset-normalizer", "fysom", "idna", "jsonschema"),
    *("jsonschema-specifications", "PyYAML", "Pyro4", "referencing", "requests", "rpds-py"),
    *("serpent", "termcolor", "typing-extensions", "urllib3"),
)


def find_python(version: str) -> Path:
    """Find the Python of a version, where pyenv keeps it or on PATH; skip without one."""
    kept = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    folders = [Path(folder) for folder in os.get_exec_path()]
    paths = [
        folder / f"python{version}"
        for folder in [*sorted(kept.glob(f"{version}.*/bin")), *folders]
        if folder.name != "shims"  # pyenv's own programs
    ]
    path = next(filter(Path.is_file, paths), None)
    return path or unable(f"python{version} is not installed")


def make_environment(version: str, folder: Path, *arguments: str | Path) -> Path:
    """Make a virtual environment and install into it by our own pip; return its Python."""
    run = functools.partial(subprocess.run, check=True)
    run([find_python(version), "-m", "venv", "--without-pip", folder])
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python]
    run([*pip, "install", "--quiet", "--disable-pip-version-check", *arguments])
    return python


@pytest.mark.parametrize("version", VERSIONS)
def test_schedules_tasks_of_python2(version: str, tmp_path: Path) -> None:
    python = make_environment(version, tmp_path, "--no-compile", "--no-deps", *PACKAGES)
    assert int(run_python(python, HERE / "import_all.py")) == MODULES
    tasks = scheduled(python)
    for manifest in MANIFESTS:
        assert Counter(tasks[manifest]) == Counter(recorded(manifest))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    [wheel] = build(tmp_path_factory.mktemp("wheel"), "--wheel")
    return wheel


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("version", VERSIONS)
def test_installs(version: str, tmp_path: Path, wheel: Path) -> None:
    """Install the wheel with everything it depends on, and dry-run a manifest."""
    python = make_environment(version, tmp_path, wheel)
    manifest = HERE / "manifests" / "kvm.yml"
    command = [python.with_name("bvz-sparse"), "build", "--dry-run", "--log", "-", manifest]
    process = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
