"""The recipes for CI services: valid for the schema of each, and their shell steps run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from bootstrapvz_sparse.builder import leftovers
from tests.support import wheel

TESTS = Path(__file__).parent.parent
CI = TESTS.parent / "docs" / "ci"
MANIFESTS = sorted((CI / "manifests").glob("*.yml"))
SCHEMAS = {
    "github.yml": "github-workflows",
    "gitlab.yml": "gitlab-ci",
    "cloudbuild.yaml": "cloudbuild",
}
SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SMALL = {"type": "none", "root": {"filesystem": "ext4", "size": "64MiB"}}
WITHOUT_DEBIAN = {
    "system.bootloader": "none",
    "provider": {"name": "kvm"},
    "volume.partitions": SMALL,
}
PACKAGE = "bootstrapvz-sparse"  # the tests replace the index of packages; see house
FOR_GCE = {"volume.partitions.root.size": "1GiB"}


class Step(NamedTuple):
    script: str
    shell: tuple[str, ...]
    environment: dict[str, str]
    may_fail: bool = False


def recipe(name: str) -> Any:
    return yaml.safe_load((CI / name).read_text())


def names(service: str) -> list[str]:
    """Return the manifests of the matrix."""
    if service == "github.yml":
        return list(recipe(service)["jobs"]["build"]["strategy"]["matrix"]["manifest"])
    if service == "gitlab.yml":
        return list(recipe(service)["build"]["parallel"]["matrix"][0]["MANIFEST"])
    [listed] = re.findall(r"for manifest in (.+); do", (CI / service).read_text())
    return str(listed).split()


def steps(service: str, manifest: str) -> Iterator[Step]:
    """Yield the shell steps, with the variables that the service sets."""
    if service == "github.yml":
        for step in recipe(service)["jobs"]["build"]["steps"]:
            if "run" in step:
                yield Step(
                    step["run"], ("bash", "-e"), {"MANIFEST": manifest, "BVZ_SPARSE": PACKAGE}
                )
    elif service == "gitlab.yml":
        job = recipe(service)["build"]
        lines = "\n".join([*job["before_script"], *job["script"]])
        variables = {"MANIFEST": manifest, "BVZ_SPARSE": PACKAGE}
        yield Step(lines, ("bash", "-eo", "pipefail"), variables)
    else:
        known = {
            "_MANIFEST": manifest,
            "_BUCKET": "bucket",
            "_BVZ_SPARSE": PACKAGE,
            "BUILD_ID": "1",
        }
        for step in recipe(service)["steps"]:
            pairs = dict(pair.split("=", 1) for pair in step["env"])
            environment = {
                key: re.sub(r"\$(\w+)", lambda found: known[found[1]], value)
                for key, value in pairs.items()
            }
            yield Step(step["script"], ("bash",), environment, step.get("allowFailure", False))


def kept(service: str, folder: Path, manifest: str) -> set[str]:
    """Return the names of the files that the recipe keeps after a build."""
    if service == "github.yml":
        uploads = [s["with"]["path"] for s in recipe(service)["jobs"]["build"]["steps"]
                   if s.get("uses", "").startswith("actions/upload-artifact@")]  # fmt: skip
        patterns = "\n".join(uploads).split()
    elif service == "gitlab.yml":
        patterns = recipe(service)["build"]["artifacts"]["paths"]
    else:
        folder, patterns = folder / "bucket" / "bucket" / manifest / "1", ["*"]
    return {path.name for pattern in patterns for path in folder.glob(pattern.rstrip("/"))}


def place(folder: Path, manifest: str, changes: dict[str, Any]) -> None:
    """Write the manifest, with ``changes`` by dotted path, where the recipes look for it."""
    data = yaml.safe_load((CI / "manifests" / f"{manifest}.yml").read_text())
    for path, value in changes.items():
        *parents, last = path.split(".")
        target = data
        for key in parents:
            target = target.setdefault(key, {})
        target[last] = value
    (folder / "manifests").mkdir(exist_ok=True)
    (folder / "manifests" / f"{manifest}.yml").write_text(yaml.safe_dump(data))


def run(service: str, folder: Path, manifest: str, house: Path, *, fakes: bool) -> int:
    """Run the shell steps as the service does, until one fails; return the exit status."""
    first = [TESTS / "support" / "fakes" / "ci", *([TESTS / "support" / "fakes"] if fakes else [])]
    path = ":".join(map(str, [*first, SYSTEM]))
    for step in steps(service, manifest):
        done = subprocess.run(
            [*step.shell, "-c", step.script],
            cwd=folder,
            env={
                **step.environment,
                "HOME": str(folder),
                "PATH": f"{path}:{Path(sys.executable).parent}",
                "PATH_OF_SUDO": path,
                "PIP_NO_INDEX": "1",
                "PIP_FIND_LINKS": str(house),
                "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        print(done.stdout)
        if done.returncode and not step.may_fail:
            return done.returncode
    return 0


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels of this package and of its dependencies, in place of the package index."""
    folder = tmp_path_factory.mktemp("house")
    [built] = wheel.build(tmp_path_factory.mktemp("wheel"), "--wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", folder, built]
    subprocess.run(pip, check=True)
    return folder


@pytest.mark.parametrize("service", SCHEMAS)
def test_schema(service: str) -> None:
    """The recipe is valid by the schema that check-jsonschema includes."""
    schema = f"vendor.{SCHEMAS[service]}"
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, CI / service]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("service", SCHEMAS)
def test_matrix(service: str) -> None:
    assert sorted(names(service)) == sorted(path.stem for path in MANIFESTS)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_manifest(path: Path) -> None:
    """The manifest has a limit, and a report where the recipes look for it."""
    block = yaml.safe_load(path.read_text())["plugins"]["sparse"]
    assert block["report"] == "images/report.json" and block["limit"]
    command = [sys.executable, "-m", "bootstrapvz_sparse.cli", "build", "--dry-run", "--log", "-"]
    done = subprocess.run([*command, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.loop
@pytest.mark.xdist_group("recipes")
@pytest.mark.timeout(600)  # the first makes wheels of all dependencies
@pytest.mark.parametrize(
    ("service", "manifest", "changes"),
    [
        ("github.yml", "kvm-trixie", WITHOUT_DEBIAN),
        ("gitlab.yml", "kvm-bookworm", WITHOUT_DEBIAN),
        ("cloudbuild.yaml", "gce-bookworm", FOR_GCE),
    ],
)
def test_steps(
    service: str, manifest: str, changes: dict[str, Any], house: Path, tmp_path: Path
) -> None:
    """With fakes for debootstrap and chroot: an image below its limit, then one above it."""
    place(tmp_path, manifest, changes)
    assert run(service, tmp_path, manifest, house, fakes=True) == 0
    found = kept(service, tmp_path, manifest)
    assert len(found) == 3 and found > {"report.json", "log"}
    [image] = found - {"report.json", "log"}
    assert image.endswith(".tar.gz")

    for folder in ("images", "bucket", "log", "built"):
        path = tmp_path / folder
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    of = "tarball" if manifest.startswith("gce") else "allocated"
    place(tmp_path, manifest, {**changes, "plugins.sparse.limit": {of: "1MiB"}})
    assert run(service, tmp_path, manifest, house, fakes=True) != 0
    assert kept(service, tmp_path, manifest) == {"report.json", "log"}
    assert not leftovers.mounts(tmp_path) and not leftovers.loop_devices(tmp_path)


@pytest.mark.build
@pytest.mark.long
@pytest.mark.timeout(1200)
def test_real_build(house: Path, tmp_path: Path) -> None:
    """GitHub's recipe builds a whole, small Debian."""
    place(
        tmp_path,
        "kvm-bookworm",
        {
            "provider": {"name": "kvm"},
            "bootstrapper.variant": "minbase",
            "bootstrapper.include_packages": ["systemd-sysv", "zstd"],
        },
    )
    assert run("github.yml", tmp_path, "kvm-bookworm", house, fakes=False) == 0
    found = kept("github.yml", tmp_path, "kvm-bookworm")
    [image] = found - {"report.json", "log"}
    (tmp_path / "unpacked").mkdir()
    unpack = ["tar", "--extract", "--file", tmp_path / "images" / image]
    subprocess.run([*unpack, "--directory", tmp_path / "unpacked"], check=True)
    [raw] = (tmp_path / "unpacked").iterdir()
    status = raw.stat()
    assert status.st_size == 2 << 30 and 512 * status.st_blocks < 900 << 20  # its holes are there
    subprocess.run(["e2fsck", "-fn", raw], check=True, env={**os.environ, "PATH": SYSTEM})
