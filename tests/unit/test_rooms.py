"""The order of the rooms (packages) of bootstrapvz_sparse, held by reading the imports."""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "bootstrapvz_sparse"
MAX_LINES = 300

ROOMS = {
    "__init__": {"plugin", "upstream"},
    "cli": {"commands", "util"},
    "commands": {"builder", "ledger", "render", "image", "util"},
    "builder": {"plugin", "image", "upstream", "util"},
    "plugin": {"ledger", "render", "image", "util"},
    "render": {"ledger", "image", "util"},
    "ledger": {"image", "util"},
    "image": {"util"},
    "upstream": {"util"},
    "util": set[str](),
}
# Third-party modules of each room; the other rooms live on the standard library.
THIRD_PARTY = {
    "commands": {"shtab"},
    "builder": {"bootstrapvz", "rich", "yaml"},
    "plugin": {"bootstrapvz", "jsonschema", "yaml"},
    "upstream": {"bootstrapvz"},
}
# Imports inside of functions: (file or room, imported module, reason).
LATE = [
    ("builder", "bootstrapvz", "importable only after upstream.install()"),
    ("upstream", "bootstrapvz", "importable only after upstream.install()"),
    ("builder", "bootstrapvz_sparse.plugin.tasks", "imports bootstrap-vz"),
    ("builder/session.py", "yaml", "a dependency that builds need, and no other command"),
    ("builder/session.py", "bootstrapvz_sparse.builder.console", "needs rich, as builds do"),
    ("__init__.py", "bootstrapvz_sparse.plugin", "imports bootstrap-vz and jsonschema"),
    ("__init__.py", "bootstrapvz_sparse.upstream", "the engine does not need it"),
    ("cli.py", "bootstrapvz_sparse.commands.completion", "one option needs it"),
    ("cli.py", "bootstrapvz_sparse.commands.debug", "loads subprocess, for one option"),
    ("commands/completion.py", "shtab", "an optional dependency"),
    ("commands/inspect.py", "bootstrapvz_sparse.render", "one option needs pictures"),
    ("commands/streams.py", "traceback", "heavy, and only --debug needs it"),
    ("image/verify.py", "hashlib", "loads OpenSSL, and only verification needs it"),
    ("util/view_server/ways.py", "secrets", "heavy, and seldom needed"),
    ("util/view_server/ways.py", "tempfile", "heavy, and seldom needed"),
    ("util/view_server/ways.py", "socket", "heavy, and seldom needed"),
    ("util/view_server/ways.py", "subprocess", "heavy, and seldom needed"),
]
# Files that do not keep a rule yet; to be changed, and never to become more.
PENDING_ROOMS: set[str] = set()
PENDING_LATE: set[str] = set()
PENDING_LENGTH = {
    *("tests/tools/test_guards.py", "tests/tools/test_partitions.py"),
}

FILES = [str(path.relative_to(PACKAGE)) for path in sorted(PACKAGE.rglob("*.py"))]


class Import(NamedTuple):
    """An imported module by its full name, and whether a function imports it."""

    module: str
    line: int
    late: bool


@functools.cache
def imports(name: str) -> list[Import]:
    """Return the imports of a file of the package, except those for type checkers alone."""

    def visit(parent: ast.AST, late: bool) -> Iterator[Import]:
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
                continue
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(alias.name, node.lineno, late)
            elif isinstance(node, ast.ImportFrom):
                base = folder[: len(folder) + 1 - node.level] if node.level else ()
                for alias in node.names:
                    module = [*base, *filter(None, [node.module]), alias.name]
                    yield Import(".".join(module), node.lineno, late)
            inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            yield from visit(node, late or inside)

    path = PACKAGE / name
    folder = path.parent.relative_to(ROOT).parts
    return list(visit(ast.parse(path.read_bytes()), late=False))


def room(name: str) -> str:
    return Path(name).parts[0].removesuffix(".py")


def target(module: str) -> str | None:
    """Return the room that a module of this package is in; None for the package itself."""
    package, _, rest = module.partition(".")
    first = rest.partition(".")[0]
    return first if package == PACKAGE.name and first in ROOMS else None


def matches(entry: tuple[str, str, str], name: str, module: str) -> bool:
    place, known, _ = entry
    return place in (name, room(name)) and f"{module}.".startswith(f"{known}.")


def test_each_room_is_listed() -> None:
    assert {room(name) for name in FILES} == set(ROOMS)


def test_order_has_no_cycle() -> None:
    order = list(ROOMS)
    for name, allowed in ROOMS.items():
        assert allowed <= set(order[order.index(name) + 1 :])


def test_imports_only_rooms_below() -> None:
    wrong = {
        name: f"line {line} imports {module}"
        for name in FILES
        for module, line, _ in imports(name)
        if (found := target(module)) and found not in {room(name), *ROOMS[room(name)]}
    }
    assert set(wrong) == PENDING_ROOMS, wrong


@pytest.mark.skipif(sys.version_info < (3, 10), reason="Python 3.9 has no list of its modules")
@pytest.mark.parametrize("name", ROOMS)
def test_imports_only_known_third_parties(name: str) -> None:
    allowed = {*sys.stdlib_module_names, PACKAGE.name, *THIRD_PARTY.get(name, ())}
    files = [file for file in FILES if room(file) == name]
    assert {module.partition(".")[0] for file in files for module, _, _ in imports(file)} <= allowed


def test_imports_at_the_top() -> None:
    """Imports inside of functions are those that LATE lists, with their reason."""
    wrong = {
        name: f"line {line} imports {module}"
        for name in FILES
        for module, line, late in imports(name)
        if late and not any(matches(entry, name, module) for entry in LATE)
    }
    assert set(wrong) == PENDING_LATE, wrong


@pytest.mark.parametrize("entry", LATE, ids=lambda entry: " ".join(entry[:2]))
def test_list_of_late_imports_has_no_more(entry: tuple[str, str, str]) -> None:
    assert any(
        late and matches(entry, name, module) for name in FILES for module, _, late in imports(name)
    )


def test_files_are_short() -> None:
    long = {
        str(path.relative_to(ROOT))
        for folder in (PACKAGE.name, "tests", "tools", "docs")
        for path in (ROOT / folder).rglob("*.py")
        if len(path.read_text().splitlines()) > MAX_LINES
    }
    assert long == PENDING_LENGTH
