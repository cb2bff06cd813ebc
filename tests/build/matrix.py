"""Every way to reclaim with every way to sparsify, in real builds from one installed system.

    make matrix [OPTIONS="--reclaim auto,discard --sparsify punch,copy"]
    python3 -m tests.build.matrix FOLDER [--reclaim ...] [--sparsify ...] [--boot]

Needs root. The system is installed once and kept by bootstrap-vz's ``prebootstrapped`` plugin;
each build goes on from its image. Each image must check clean and have the files of the others,
and with ``--boot`` come to its login prompt. Prints a table of what each left allocated and took.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from bootstrapvz_sparse.plugin.backings import BACKINGS
from tests.build.boot import boot
from tests.build.tree import differences, tree

ROOT = Path(__file__).parent.parent.parent
RECLAIM = BACKINGS["raw"].reclaim
SPARSIFY = BACKINGS["raw"].sparsify
COMMAND = "fallocate --dig-holes"  # any program that works in place will do


def build(folder: Path, name: str, plugins: dict[str, Any], release: str = "bookworm") -> Path:
    """Build a release for KVM below ``folder``, and return the path of the image.

    :raises CalledProcessError: the build fails
    """
    manifest = yaml.safe_load((ROOT / "manifests" / f"kvm-{release}.yml").read_text())
    manifest["name"] = name
    manifest["bootstrapper"]["workspace"] = str(folder / "images")
    manifest["plugins"] = plugins
    path = folder / f"{name}.yml"
    path.write_text(yaml.safe_dump(manifest))
    subprocess.run(
        [sys.executable, "-m", "bootstrapvz_sparse.cli", "build", "--log", folder / "log", path],
        cwd=ROOT,
        stderr=(folder / f"{name}.log").open("w"),
        check=True,
    )
    return folder / "images" / f"{name}.raw"


def installed(folder: Path) -> Path:
    """An image with all packages, from which builds go on."""
    image = build(folder, "installed", {"sparse": {}, "prebootstrapped": {}})
    image.unlink()
    [backup] = image.parent.glob("*.backup")
    return backup


def variant(
    folder: Path, backup: Path, reclaim: str, sparsify: str, release: str = "bookworm"
) -> tuple[Path, Any]:
    """Build on from the backup of a release, and return the image and its ledger."""
    name = f"{reclaim}-{sparsify}"
    report = folder / f"{name}.json"
    block = {"reclaim": reclaim, "sparsify": sparsify, "report": str(report)}
    if sparsify == "command":
        block["sparsify_command"] = COMMAND
    plugins = {"sparse": block, "prebootstrapped": {"image": str(backup)}}
    image = build(folder, name, plugins, release)
    subprocess.run(["e2fsck", "-fn", image], check=True, capture_output=True)
    return image, json.loads(report.read_text())


def row(reclaim: str, sparsify: str, ledger: Any, seconds: float | None) -> str:
    """A line of the table, in Markdown."""
    stages = {stage["stage"]: stage for stage in ledger["stages"]}
    ours = stages.get("sparsified", {"seconds": 0.0, "method": None})
    cells = [
        reclaim,
        sparsify,
        ours["method"] or "-",
        f"{ledger['peak'] / 2**20:.0f}",
        f"{stages['built']['allocated'] / 2**20:.0f}",
        f"{stages['moved']['allocated'] / 2**20:.0f}",
        f"{ours['seconds']:.1f}",
        "-" if seconds is None else f"{seconds:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


HEAD = """\
| reclaim | sparsify | method | MiB at most | MiB built | MiB left | seconds | login after |
|---|---|---|---|---|---|---|---|"""


def lines(folder: Path, pairs: list[tuple[str, str]], *, boots: bool) -> Iterator[str]:
    """Build all ``pairs``, and tell of each; the files of the first are those of all.

    :raises AssertionError: an image is not as it should be
    """
    backup = installed(folder)
    yield HEAD
    first = None
    for reclaim, sparsify in pairs:
        if sparsify.startswith("virt-") and not shutil.which("virt-sparsify"):
            yield f"| {reclaim} | {sparsify} | virt-sparsify is not installed |||||"
            continue
        image, ledger = variant(folder, backup, reclaim, sparsify)
        files = tree(image, folder / "mounted")
        first = first or files
        assert not (differing := differences(first, files)), differing
        seconds = boot(image)[0] if boots else None
        image.unlink()
        yield row(reclaim, sparsify, ledger, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--reclaim", type=lambda text: text.split(","), default=RECLAIM)
    parser.add_argument("--sparsify", type=lambda text: text.split(","), default=SPARSIFY)
    parser.add_argument("--boot", action="store_true")
    options = parser.parse_args()
    os.makedirs(options.folder, exist_ok=True)
    pairs = list(itertools.product(options.reclaim, options.sparsify))
    for line in lines(options.folder.resolve(), pairs, boots=options.boot):
        print(line, flush=True)


if __name__ == "__main__":
    main()
