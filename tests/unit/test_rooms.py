"""The order of the rooms (packages) of bootstrapvz_sparse, held by reading the imports."""

from __future__ import annotations

import ast
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
    "builder": {"plugin", "render", "image", "upstream", "util"},
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
    ("builder", "bootstrapvz", "is importable only after upstream.install()"),
    ("upstream", "bootstrapvz", "is importable only after upstream.install()"),
    ("plugin", "bootstrapvz", "is importable only after upstream.install()"),
    ("builder", "bootstrapvz_sparse.plugin.tasks", "imports bootstrap-vz"),
    ("builder", "bootstrapvz_sparse.builder.console", "imports rich, and only builds need it"),
    ("__init__.py", "bootstrapvz_sparse.plugin", "the engine must not load jsonschema and yaml"),
    ("__init__.py", "bootstrapvz_sparse.upstream", "the engine needs no bootstrap-vz"),
    ("commands/completion.py", "shtab", "is an optional dependency"),
]
# Files that do not keep a rule yet.
PENDING_ROOMS = {"commands/build.py"}
PENDING_LATE = {
    *("builder/session.py", "cli.py", "image/discard.py", "image/holes.py", "image/partitions.py"),
    *("image/verify.py", "ledger/ledger.py", "plugin/validation.py"),
    *("commands/build.py", "commands/check.py", "commands/clean.py", "commands/inspect.py"),
    *("commands/output.py", "commands/pictures.py", "commands/report.py", "commands/sparsify.py"),
    "commands/tarball.py",
}
PENDING_LENGTH = {
    *("tests/loop/test_small_builds.py", "tests/tools/test_commands.py", "tests/tools/test_ext.py"),
    "tests/tools/test_partitions.py",
}

FILES = [str(path.relative_to(PACKAGE)) for path in sorted(PACKAGE.rglob("*.py"))]
ALL_FILES = [
    str(path.relative_to(ROOT))
    for folder in (PACKAGE.name, "tests", "tools", "docs")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


class Import(NamedTuple):
    """An imported module by its full name, and whether a function imports it."""

    module: str
    line: int
    late: bool


def imports(name: str) -> Iterator[Import]:
    """Yield the imports of a file of the package, except those for type checkers alone."""

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
    yield from visit(ast.parse(path.read_bytes()), late=False)


def room(name: str) -> str:
    return Path(name).parts[0].removesuffix(".py")


def target(module: str) -> str | None:
    """Return the room that a module of this package is in; None for the package itself."""
    package, _, rest = module.partition(".")
    first = rest.partition(".")[0]
    return first if package == PACKAGE.name and first in ROOMS else None


def pending(names: set[str], files: list[str] = FILES) -> list[object]:
    """Return a parameter for each file; the ``names`` break the rule today, so they must fail."""
    xfail = pytest.mark.xfail(strict=True, reason="has to be changed")
    return [pytest.param(name, marks=[xfail] if name in names else []) for name in files]


def test_each_room_is_listed() -> None:
    assert {room(name) for name in FILES} == set(ROOMS)


def test_order_has_no_cycle() -> None:
    order = list(ROOMS)
    for name, allowed in ROOMS.items():
        assert allowed <= set(order[order.index(name) + 1 :])


@pytest.mark.parametrize("name", pending(PENDING_ROOMS))
def test_imports_only_rooms_below(name: str) -> None:
    allowed = {room(name), *ROOMS[room(name)]}
    wrong = [
        f"{name}:{line} imports {module}"
        for module, line, _ in imports(name)
        if (found := target(module)) and found not in allowed
    ]
    assert wrong == []


@pytest.mark.skipif(sys.version_info < (3, 10), reason="Python 3.9 has no list of its modules")
@pytest.mark.parametrize("name", FILES)
def test_imports_only_known_third_parties(name: str) -> None:
    allowed = {*sys.stdlib_module_names, PACKAGE.name, *THIRD_PARTY.get(room(name), ())}
    found = {module.partition(".")[0] for module, _, _ in imports(name)}
    assert found <= allowed


@pytest.mark.parametrize("name", pending(PENDING_LATE))
def test_imports_at_the_top(name: str) -> None:
    """Imports inside of functions are those that LATE lists, with their reason."""
    wrong = [
        f"{name}:{line} imports {module}"
        for module, line, late in imports(name)
        if late
        and not any(
            place in (name, room(name)) and f"{module}.".startswith(f"{known}.")
            for place, known, _ in LATE
        )
    ]
    assert wrong == []


@pytest.mark.parametrize("name", pending(PENDING_LENGTH, ALL_FILES))
def test_file_is_short(name: str) -> None:
    assert len((ROOT / name).read_text().splitlines()) <= MAX_LINES
