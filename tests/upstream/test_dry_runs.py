"""Ten manifests schedule the tasks that they schedule on Python 2.7."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.support.wheel import build

HERE = Path(__file__).parent
IMPORT_ALL = """
import importlib, pkgutil
from bootstrapvz_sparse import upstream
assert upstream.install() and upstream.install()
import bootstrapvz
names = [m.name for m in pkgutil.walk_packages(bootstrapvz.__path__, 'bootstrapvz.')]
for name in names:
    importlib.import_module(name)
print(len(names))
"""


def python(interpreter: Path | str, *arguments: str | Path) -> str:
    environment = dict(os.environ)
    if interpreter != sys.executable:
        environment.pop("PYTHONPATH", None)  # another Python has its own packages
    done = subprocess.run(
        [interpreter, *arguments], capture_output=True, text=True, cwd="/", env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def scheduled(interpreter: Path | str, manifest: str) -> list[str]:
    path = HERE / "manifests" / f"{manifest}.yml"
    return python(interpreter, "-W", "error", HERE / "list_tasks.py", path).splitlines()


# Tasks that our repairs add.
ADDED = {"gce": ["bootstrapvz.common.tasks.ssh.ShredHostkeys"]}


def wanted(manifest: str) -> list[str]:
    recorded = (HERE / "recorded" / f"{manifest}.txt").read_text().splitlines()
    assert recorded
    return recorded + ADDED.get(manifest, [])


MANIFESTS = sorted(path.stem for path in (HERE / "manifests").glob("*.yml"))
OTHERS = ("3.9", "3.13")  # the oldest and the newest


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_tasks_are_those_of_python2(manifest: str) -> None:
    recorded = wanted(manifest)
    found = scheduled(sys.executable, manifest)
    assert Counter(found) == Counter(recorded)
    assert scheduled(sys.executable, manifest) == found  # and always in the same order


def test_every_module_is_imported() -> None:
    assert int(python(sys.executable, "-W", "error", "-c", IMPORT_ALL)) == 176


def interpreters() -> dict[str, Path | None]:
    """Pythons of other versions: on PATH, or where pyenv keeps them."""
    found: dict[str, Path | None] = {}
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep)]
    kept = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    for version in OTHERS:
        name = f"python{version}"
        places = [*sorted(kept.glob(f"{version}.*/bin")), *folders]
        paths = [place / name for place in places if (place / name).is_file()]
        found[version] = next((path for path in paths if path.parent.name != "shims"), None)
    return found


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("version", OTHERS)
def test_other_pythons(version: str, tmp_path: Path) -> None:
    interpreter = interpreters()[version]
    if interpreter is None:
        pytest.skip(f"python{version} is not there")
    (tmp_path / "wheel").mkdir()
    [wheel] = build(tmp_path / "wheel", "--wheel")
    python(interpreter, "-m", "venv", tmp_path / "venv")
    venv = tmp_path / "venv" / "bin" / "python"
    python(venv, "-m", "pip", "install", "-q", wheel)
    assert int(python(venv, "-W", "error", "-c", IMPORT_ALL)) == 176
    for manifest in MANIFESTS:
        assert Counter(scheduled(venv, manifest)) == Counter(wanted(manifest))


def test_inert_beside_python3_source(tmp_path: Path) -> None:
    base = tmp_path / "bootstrapvz" / "base"
    base.mkdir(parents=True)
    (tmp_path / "bootstrapvz" / "__init__.py").write_text("__version__ = '0.9.11'\n")
    (base / "__init__.py").write_text("from .phase import Phase\n")
    (base / "phase.py").write_text("class Phase: pass\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); before = list(sys.meta_path)\n"
        "from bootstrapvz_sparse import upstream\n"
        "assert not upstream.install() and sys.meta_path == before\n"
        "class Task(type):\n"
        "    def __repr__(cls): return 'bootstrapvz.providers.ec2.tasks.initd.AddEC2InitScripts'\n"
        "assert upstream.unavailable([Task('T', (), {})]) == []\n"
        "import bootstrapvz.base\n"
        "assert bootstrapvz.base.__loader__.__class__.__module__.startswith('_frozen')\n"
    )
    python(sys.executable, "-c", code)


def test_too_late() -> None:
    code = (
        "import bootstrapvz\n"
        "from bootstrapvz_sparse import upstream\n"
        "try: upstream.install()\n"
        "except ImportError as error: assert 'before' in str(error)\n"
        "else: raise AssertionError\n"
    )
    python(sys.executable, "-c", code)
