"""The wheel and the source distribution hold everything that an installation needs."""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from bootstrapvz_sparse import __version__
from tests.support.manifests import write
from tests.support.wheel import SOURCE, build

pytestmark = pytest.mark.xdist_group("packages")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the source distribution."""
    first, second = build(tmp_path_factory.mktemp("packages"), "--wheel", "--sdist")
    return first, second


@pytest.fixture(scope="module")
def wheel(packages: tuple[Path, Path]) -> Path:
    return packages[0]


def test_contents(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assets = SOURCE / "bootstrapvz_sparse" / "upstream" / "assets"
    wanted = {
        "bootstrapvz_sparse/plugin/manifest-schema.yml",
        "bootstrapvz_sparse/py.typed",
        *(str(path.relative_to(SOURCE)) for path in assets.rglob("*") if path.is_file()),
    }
    assert wanted <= set(names)
    # bootstrap-vz imports every module below a plugin
    assert not [name for name in names if name.endswith("__main__.py")]
    assert not [name for name in names if name.startswith(("tests", "tools"))]


def test_metadata(packages: tuple[Path, Path]) -> None:
    """Both pass twine's checks, that the long description renders among them."""
    command = [sys.executable, "-m", "twine", "check", "--strict", *packages]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(packages[0]) as wheel:
        [name] = [name for name in wheel.namelist() if name.endswith("/METADATA")]
        metadata = email.message_from_bytes(wheel.read(name))
        assert [name for name in wheel.namelist() if name.endswith("LICENSE")]
    assert metadata["Version"] == __version__
    assert metadata["Requires-Python"] == ">=3.9"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Description-Content-Type"] == "text/markdown"


def test_source_distribution(packages: tuple[Path, Path]) -> None:
    with tarfile.open(packages[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "CHANGELOG.md", "setup.py"} <= names
    assert "bootstrapvz_sparse/py.typed" in names


def test_one_version() -> None:
    """It is that of ``bootstrapvz_sparse/__init__.py``; the others follow it."""
    assert re.fullmatch(r"\d+\.\d+\.\d+(?:\.dev\d+|rc\d+)?", __version__)
    changes = (SOURCE / "CHANGELOG.md").read_text()
    assert re.search(r"^## (\S+)", changes, re.M)[1] == __version__  # type: ignore[index]
    of_debian = (SOURCE / "debian" / "changelog").read_text()
    assert of_debian.startswith(f"bootstrapvz-sparse ({__version__.replace('rc', '~rc')}) ")
    done = subprocess.run(
        [sys.executable, "-m", "bootstrapvz_sparse.cli", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"bvz-sparse {__version__}\n"


def test_installed_into_an_empty_virtualenv(wheel: Path, tmp_path: Path) -> None:
    def run(*command: str | Path) -> str:
        # what PYTHONPATH leads to would count as installed
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    run(sys.executable, "-m", "venv", "venv")
    binaries = tmp_path / "venv" / "bin"
    run(binaries / "pip", "install", "-q", wheel)
    said = run(binaries / "bvz-sparse", "build", "--dry-run", "--log", "-", write(tmp_path))
    assert "Making the volume sparse" in said
    code = (
        "from bootstrapvz_sparse import upstream; upstream.install()\n"
        "from bootstrapvz.common.tasks import assets; import os\n"
        "open(os.path.join(assets, 'extlinux', 'extlinux.conf'))"
    )
    run(binaries / "python", "-c", code)
