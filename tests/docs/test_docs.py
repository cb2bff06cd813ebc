"""The pages are built without a warning, and what is generated has everything."""

from __future__ import annotations

import html
import importlib.util
import inspect
import pkgutil
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

import bootstrapvz_sparse.plugin.tasks
from bootstrapvz_sparse import cli, upstream
from bootstrapvz_sparse.plugin.validation import SCHEMA
from bootstrapvz_sparse.upstream import registry
from tests.docs.pages import DOCS
from tests.support.unable import unable

pytestmark = pytest.mark.xdist_group("pages")

NEEDED = ("sphinx", "myst_parser", "furo", "sphinx_argparse_cli")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the HTML pages."""
    lacking = [module for module in NEEDED if importlib.util.find_spec(module) is None]
    if lacking:
        unable(f"Python modules are not there: {', '.join(lacking)}")
    if shutil.which("dot") is None:
        unable("the program dot is not there")
    folder = tmp_path_factory.mktemp("docs")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", folder / "doctrees", DOCS, folder / "html"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


def text(page: Path) -> str:
    """Return the text of a page without its tags."""
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text()))


def test_every_key_of_the_block(built: Path) -> None:
    schema = yaml.safe_load(SCHEMA.read_text())
    page, raw = text(built / "block.html"), (built / "block.html").read_text()
    found = []

    def look(properties: dict[str, Any], parent: str) -> None:
        for name, key in properties.items():
            found.append(f"{parent}{name}")
            assert f'id="{(parent + name).replace(".", "-").replace("_", "-")}"' in raw, name
            assert key["title"].replace("`", "") in page, name
            for value in key.get("enum", []):
                assert f"{value}:" in page or value is False, (name, value)
            look(key.get("properties", {}), f"{parent}{name}.")

    look(schema["properties"]["plugins"]["properties"]["sparse"]["properties"], "")
    assert len(found) == 13 and len(set(found)) == 13


def test_examples_of_the_block_are_valid() -> None:
    from jsonschema import Draft4Validator

    def look(key: dict[str, Any]) -> int:
        for value in key["examples"]:
            Draft4Validator(key).validate(value)
        return len(key["examples"]) + sum(map(look, key.get("properties", {}).values()))

    schema = yaml.safe_load(SCHEMA.read_text())
    assert look(schema["properties"]["plugins"]["properties"]["sparse"]) >= 14


def test_every_command_and_option(built: Path) -> None:
    page = text(built / "cli.html")
    [commands] = [a for a in cli.full_parser()._actions if isinstance(a.choices, dict)]
    assert "build" in commands.choices
    for command, parser in dict(commands.choices).items():  # type: ignore[call-overload]
        assert f"bvz-sparse {command}" in page
        for action in parser._actions:
            assert action.help or action.metavar, (command, action.dest)
            for option in action.option_strings:
                assert option in page, (command, option)


def test_every_task() -> None:
    """Every task of the plugin is in the table of tasks."""
    upstream.install()
    from bootstrapvz.base import Task

    tasks = set()
    for module in pkgutil.iter_modules(bootstrapvz_sparse.plugin.tasks.__path__):
        found = import_module(f"bootstrapvz_sparse.plugin.tasks.{module.name}")
        for name, cls in inspect.getmembers(found, inspect.isclass):
            if issubclass(cls, Task) and cls.__module__ == found.__name__:
                tasks.add(f"{module.name}.{name}")
    page = (DOCS / "how-it-works.md").read_text()
    assert set(re.findall(r"^\| `([a-z]+\.\w+)`", page, re.M)) == tasks


def test_picture_of_the_tasks(built: Path) -> None:
    [picture] = re.findall(
        r'data="(_images/graphviz-\w+\.svg)"', (built / "how-it-works.html").read_text()
    )
    svg = (built / picture).read_text()
    for task in ("create.CreateSparse", "sparsify.Sparsify", "volume.Detach", "loopback.Create"):
        assert f">{task}<" in svg
    assert 20 <= svg.count('<g id="node') <= 45  # legible


def test_every_repair(built: Path) -> None:
    page = text(built / "upstream.html")
    assert registry.REPAIRS
    for (module, name), repair in registry.REPAIRS.items():
        assert module.removeprefix("bootstrapvz.") in page and name in page
        assert repair.function.__doc__
