"""The example method of the documentation and the schemas of JSON, with real images."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bootstrapvz_sparse import image as image_api
from bootstrapvz_sparse.cli import main
from bootstrapvz_sparse.image import sparsify
from bootstrapvz_sparse.image.extents import allocated
from bootstrapvz_sparse.image.methods import METHODS
from tests.docs.pages import DOCS, blocks
from tests.support.unable import unable

MIB = 1 << 20
SCHEMA = json.loads((DOCS / "images.schema.json").read_text())


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An ext4 filesystem with a file, all of it allocated."""
    if shutil.which("mkfs.ext4") is None:
        unable("the program mkfs.ext4 is not there")
    path = tmp_path / "image.raw"
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(bytes(range(1, 256)) * 10_000)
    command = ["mkfs.ext4", "-q", "-d", tmp_path / "tree", tmp_path / "sparse", "32M"]
    subprocess.run(command, check=True)
    subprocess.run(["cp", "--sparse=never", tmp_path / "sparse", path], check=True)
    return path


def test_example_of_a_method(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("dd", DOCS / "examples" / "dd.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(METHODS, module.DD.name, module.DD)
    inode = image.stat().st_ino
    report = sparsify(image, method="dd", verify=True)
    assert report.method == "dd"
    assert report.verified[0] == "no byte in use has changed"
    status = image.stat()
    assert status.st_size == 32 * MIB and allocated(status) < 8 * MIB
    assert status.st_ino != inode
    assert sorted(p.name for p in image.parent.iterdir()) == ["image.raw", "sparse", "tree"]


def test_example_of_the_library(
    image: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [example] = [b.text for b in blocks(DOCS / "library.md") if b.language == "python"]
    image.rename(image.with_name("disk.raw"))
    monkeypatch.chdir(image.parent)
    exec(compile(example, "library.md", "exec"), {})
    planned, applied = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\d{8} of 33554432 bytes can be freed", planned)
    gain, freed = int(planned.split()[0]), int(applied.split()[0])
    assert gain - MIB < freed <= gain  # the build filesystem may need a block for its own metadata
    assert "no byte in use has changed" in applied
    exec(compile(example, "library.md", "exec"), {})
    assert capsys.readouterr().out.startswith("0 of ")
    Path("disk.raw").write_bytes(b"")
    exec(compile(example, "library.md", "exec"), {})
    assert capsys.readouterr().out == "disk.raw: the file is empty\n"


def test_page_of_the_library_is_complete() -> None:
    page = (DOCS / "library.md").read_text()
    for name in image_api.__all__:
        assert f"`{name}" in page, name
        thing = getattr(image_api, name)
        if name in ("Report", "Plan"):
            fields = {f for f in (*getattr(thing, "_fields", ()), *vars(thing)) if f[0] != "_"}
            internal = {"holes", "scanned", "count", "index"}
            assert {f for f in fields - internal if f"`{f}" not in page} == set()
        elif name[0].islower():
            parameters = list(inspect.signature(thing).parameters)[1:]
            assert {p for p in parameters if f"`{p}" not in page} == set()


def documents(path: Path, capsys: pytest.CaptureFixture[str]) -> list[Any]:
    """Return the JSON documents that the commands print for the image."""
    found = []
    for options in (
        ["inspect"],
        ["sparsify", "--dry-run"],
        ["sparsify", "--method", "none"],
        ["sparsify", "--verify"],
        ["inspect"],
    ):
        assert main([*options, "--json", str(path)]) == 0
        found.append(json.loads(capsys.readouterr().out))
    return found


def test_json_of_a_filesystem(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for document in documents(image, capsys):
        jsonschema.validate(document, SCHEMA)


@pytest.mark.parametrize("label", ["dos", "gpt"])
def test_json_of_a_disk(label: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if shutil.which("sfdisk") is None:
        unable("the program sfdisk is not there")
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(16 * MIB))
    table = f"label: {label}\nsize=4MiB\nsize=4MiB\n"
    subprocess.run(["sfdisk", "-q", path], input=table, text=True, check=True)
    for document in documents(path, capsys):
        jsonschema.validate(document, SCHEMA)
        [found] = document["images"]
        assert found["table"] == label and len(found["parts"]) == 3


def test_schema_is_strict(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jsonschema.Draft4Validator.check_schema(SCHEMA)
    inspection, plan, *_ = documents(image, capsys)
    for key in ("gain", "path", "parts"):
        without = {k: v for k, v in inspection["images"][0].items() if k != key}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"version": 1, "images": [without]}, SCHEMA)
    both = {**inspection["images"][0], **plan["images"][0]}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"version": 1, "images": [both]}, SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**inspection, "more": 1}, SCHEMA)
