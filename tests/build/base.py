"""Real builds that share one debootstrap tarball for each base system."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.support.shared import locked

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
PLUGINS = ROOT / "tests" / "support" / "plugins"
COMMAND = [sys.executable, "-m", "bootstrapvz_sparse.cli", "build", "--log", "log"]


def manifest_of(name: str, **plugins: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest ``manifests/NAME.yml`` with the settings of ``plugins`` replaced."""
    manifest: dict[str, Any] = yaml.safe_load((MANIFESTS / f"{name}.yml").read_text())
    manifest["plugins"].update(plugins)
    return manifest


def build(folder: Path, manifest: dict[str, Any], shared: Path, *options: str) -> str:
    """Build ``manifest`` in ``folder``, and return the messages.

    The tarball of debootstrap is kept in ``shared``: the first build makes it, while others of the
    same provider and release wait for it.

    :raises AssertionError: the build fails
    """
    path, messages, images = (folder / name for name in ("manifest.yml", "messages", "images"))
    bootstrapper = {**manifest["bootstrapper"], "tarball": True}
    path.write_text(yaml.safe_dump({**manifest, "bootstrapper": bootstrapper}))
    images.mkdir(exist_ok=True)
    store = shared / f"base-{manifest['provider']['name']}-{manifest['system']['release']}"
    store.mkdir(exist_ok=True)
    with messages.open("w") as output, locked(store.with_suffix(".lock")):
        known = list(store.iterdir())
        for each in known:
            os.link(each, images / each.name)
        process = subprocess.Popen(
            [*COMMAND, *options, path.name],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": f"{PLUGINS}:{os.environ.get('PYTHONPATH', '')}"},
            stderr=output,
        )
        with ended(process):
            while not known and process.poll() is None:
                time.sleep(0.2)
                known = list(images.glob("debootstrap-*.tar"))
            for each in known:
                if not (store / each.name).exists():
                    os.link(each, store / each.name)
    with ended(process):
        status = process.wait()
    said = messages.read_text()
    assert status == 0, said
    print(said)
    for each in images.glob("debootstrap-*.tar"):
        each.unlink()
    return said


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Interrupt the process when the body fails, by the time limit of a test for example."""
    try:
        yield
    except BaseException:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise
