"""Tables, schemas and help texts agree with the records of the code."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest
import yaml

from bootstrapvz_sparse.cli import full_parser
from bootstrapvz_sparse.image.guards import IMAGE_GUARDS, PARTITION_GUARDS
from bootstrapvz_sparse.image.methods import METHODS
from bootstrapvz_sparse.image.reclaim import RECLAIM
from bootstrapvz_sparse.plugin.validation import SCHEMA
from tests.docs.pages import DOCS, FENCE, ROOT, pages
from tests.torture.parts import PARTS

PACKAGE = ROOT / "bootstrapvz_sparse"
HOW = DOCS / "how-it-works.md"
TREE = HOW.read_text().partition("## Where to find what")[2]
FILE = re.compile(r"`((?:[\w.-]+/)+[\w.-]*)(?:[:#]\w+)?`")
PLACEHOLDERS = re.compile(r"NAME|MANIFEST|FOLDER|XXXX")
GENERATED = ("images/", "build/", "bucket/", "docs/_build/", "docs/_generated/")


def parser(command: str) -> argparse.ArgumentParser:
    [commands] = [a for a in full_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    found: argparse.ArgumentParser = commands.choices[command]
    return found


def choices(command: str, option: str) -> list[str]:
    [action] = [a for a in parser(command)._actions if option in a.option_strings]
    return list(action.choices or [])


def test_methods_of_the_page() -> None:
    rows = ["| method | what it does | second file | programs |", "|---|---|---|---|"]
    for method in METHODS.values():
        programs = ", ".join(f"`{program}`" for program in method.programs) or "none"
        second = "no" if method.in_place else "yes"
        rows.append(f"| `{method.name}` | {method.summary} | {second} | {programs} |")
    assert "\n".join(rows) in (DOCS / "methods.md").read_text()


def test_methods_of_the_schema() -> None:
    schema = yaml.safe_load(SCHEMA.read_text())
    key = schema["properties"]["plugins"]["properties"]["sparse"]["properties"]["sparsify"]
    assert key["enum"] == ["auto", *METHODS]
    assert re.findall(r"^- `([\w-]+)`:", key["description"], re.M) == key["enum"]


def test_methods_of_the_manifest_with_all_settings() -> None:
    text = (ROOT / "manifests" / "kvm-all-settings.yml").read_text()
    assert all(re.search(rf"\b{name}\b", text) for name in METHODS)


def test_choices_of_the_command_line() -> None:
    assert choices("sparsify", "--method") == ["auto", *METHODS]
    assert choices("sparsify", "--reclaim") == list(RECLAIM)
    page = (DOCS / "library.md").read_text()
    assert ", ".join(f'`"{value}"`' for value in RECLAIM) in page


def test_parts_of_the_torture() -> None:
    page = (DOCS / "reliability.md").read_text()
    assert [part for part in PARTS if f"\n| `{part}` | " not in page] == []


def test_help_warns_of_hash_trees_elsewhere() -> None:
    text = " ".join(parser("sparsify").format_help().split())
    assert "hash tree in another file" in text


def test_files_of_the_guards_are_named() -> None:
    files = {guard.__module__.rpartition(".")[2] for guard in (*IMAGE_GUARDS, *PARTITION_GUARDS)}
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    assert all(f"`{name}.py`" in contributing for name in files)


def test_tree_has_every_room_and_file_of_the_engine() -> None:
    for folder in (PACKAGE, PACKAGE / "image", PACKAGE / "upstream"):
        for path in folder.iterdir():
            if path.name[0] not in "_." and path.suffix in ("", ".py"):
                name = f"{path.name}/" if path.is_dir() else path.name
                known = name in TREE or name in ("formats.py", "py2_stdlib.py")
                assert known, path.relative_to(ROOT)


def test_tree_has_nothing_else() -> None:
    [tree] = re.findall(r"(?:^    .*\n)+", TREE, re.M)
    names = re.findall(r"(?<![\w/-])([\w-]+(?:/|\.py\b|\.yml\b))", tree)
    files = {path.name for path in ROOT.rglob("*") if ".venv" not in path.parts}
    assert [name for name in names if name.rstrip("/") not in files] == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_pages_name_exist(page: Path) -> None:
    """A path in a page is one of the repository or of the package."""
    for path in FILE.findall(FENCE.sub("", page.read_text())):
        if PLACEHOLDERS.search(path) or path.startswith(GENERATED):
            continue
        first = path.partition("/")[0]
        known = [p for p in (ROOT, PACKAGE, PACKAGE / "upstream", DOCS) if (p / first).exists()]
        if known and not path.endswith("/"):
            assert any((place / path).exists() for place in known), path
