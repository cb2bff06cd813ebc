"""What is installed from a wheel has all that it needs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.manifests import write

SOURCE = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # setuptools would take what an earlier build left in the source tree
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    left_out = shutil.ignore_patterns(".*", "build", "images", "tests", "*.egg-info")
    shutil.copytree(SOURCE, source, ignore=left_out)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "-o", folder, source],
        check=True,
        capture_output=True,
    )
    [path] = folder.glob("*.whl")
    return path


def test_contents(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assets = SOURCE / "bootstrapvz_sparse" / "upstream" / "assets"
    wanted = {
        "bootstrapvz_sparse/manifest-schema.yml",
        "bootstrapvz_sparse/py.typed",
        *(str(path.relative_to(SOURCE)) for path in assets.rglob("*") if path.is_file()),
    }
    assert wanted <= set(names)
    # bootstrap-vz imports every module below a plugin
    assert not [name for name in names if name.endswith("__main__.py")]
    assert not [name for name in names if name.startswith("tests")]


def test_installed_into_an_empty_virtualenv(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    binaries = tmp_path / "venv" / "bin"
    subprocess.run([binaries / "pip", "install", "-q", wheel], check=True)
    done = subprocess.run(
        [binaries / "bvz-sparse", "build", "--dry-run", "--log", "-", write(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Making the volume sparse" in done.stderr
    code = (
        "from bootstrapvz_sparse import upstream; upstream.install()\n"
        "from bootstrapvz.common.tasks import assets; import os\n"
        "open(os.path.join(assets, 'extlinux', 'extlinux.conf'))"
    )
    subprocess.run([binaries / "python", "-c", code], check=True, cwd=tmp_path)
