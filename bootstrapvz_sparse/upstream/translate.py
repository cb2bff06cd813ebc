"""Translate Python 2 source into a syntax tree with the same meaning on Python 3.

Python 3 rejects only two things in the 177 modules of bootstrap-vz 0.9.11, the print statement
and octal literals: two regular expressions rewrite them. Everything else parses, and one
``ast.NodeTransformer`` restores its meaning. Line numbers do not change.
"""

from __future__ import annotations

import ast
import os
import re
from functools import cache
from pathlib import Path
from typing import TypeVar

PY2_STDLIB = "bootstrapvz_sparse.upstream.py2_stdlib"
MODULES = {
    "pkg_resources": PY2_STDLIB,
    "urllib": PY2_STDLIB,
    "urllib2": PY2_STDLIB,
    "urlparse": "urllib.parse",
    "pipes": "shlex",
}
NAMES = {
    "basestring": "str",
    "long": "int",
    "raw_input": "input",
    "unicode": "str",
    "xrange": "range",
}
ATTRIBUTES = {
    "iteritems": "items",
    "iterkeys": "keys",
    "itervalues": "values",
    "warn": "warning",  # of a logger; deprecated since Python 3.3
}
METHODS = {"__div__": "__floordiv__", "__idiv__": "__ifloordiv__"}
LAZY = {"filter", "map", "zip"}  # they returned lists; a debug message would consume the task list

PRINT = re.compile(r"^([ \t]*)print (?:>>\s*(\w+)\s*,\s*)?(?!\()(.+?)(,?)[ \t]*$", re.M)
OCTAL = re.compile(r"(?<=[ (])0([0-7]{3,4})(?=[),\s])")

# Replacements in one file each, where no rule applies: the expected text and the new text.
SUBSTITUTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    # the order of a set differs between runs: a cached tarball was never reused
    "common/tasks/bootstrap.py": (
        ("','.join(info.include_packages)", "','.join(sorted(info.include_packages))"),
        ("','.join(info.exclude_packages)", "','.join(sorted(info.exclude_packages))"),
        (
            "sha1(repr(frozenset(options + hash_args)))",
            "sha1(repr(sorted(options + hash_args)).encode())",
        ),
    ),
    # a disk image is not text
    "common/fs/virtualdiskimage.py": (("open(self.image_path)", "open(self.image_path, 'rb')"),),
    "plugins/salt/tasks.py": (
        ("open(bootstrap_script, 'w')", "open(bootstrap_script, 'wb')"),
    ),
    # the line is a comment in the sshd_config of every release since stretch
    "common/tasks/ssh.py": (("'^PermitRootLogin .*'", "'^#?PermitRootLogin .*'"),),
    # pytz came with pyRFC3339 1; the standard library has UTC, and warns of utcnow since 3.12
    "providers/docker/tasks/image.py": (
        ("import pytz", "from datetime import timezone as pytz"),
        ("datetime.utcnow().replace(tzinfo=pytz.utc)", "datetime.now(pytz.utc)"),
    ),
    # a string is interpreted as the name of a program
    "plugins/admin_user/tasks.py": (
        ("log_call('ssh-keygen -l -f ' + abs_pubkey)",
         "log_call(['ssh-keygen', '-l', '-f', abs_pubkey])"),
    ),
    # name the requested release, not None
    "common/releases.py": (("is unknown'.format(name=release)",
                            "is unknown'.format(name=release_name)"),),
}  # fmt: skip


@cache
def _siblings(folder: str) -> frozenset[str]:
    """Return the names that Python 2 imports from ``folder`` before looking anywhere else."""
    return frozenset(
        entry.name.partition(".")[0]
        for entry in os.scandir(folder)
        if entry.name.endswith(".py") or os.path.exists(os.path.join(entry.path, "__init__.py"))
    )


def imports_siblings_implicitly(tree: ast.AST, folder: str) -> bool:
    """Return whether a module in ``folder`` imports a sibling as only Python 2 does."""
    return any(
        isinstance(node, ast.ImportFrom)
        and node.level == 0
        and (node.module or "").partition(".")[0] in _siblings(folder)
        for node in ast.walk(tree)
    )


class Translator(ast.NodeTransformer):
    """A transformer of one module in ``folder``: all rules of the translation."""

    def __init__(self, folder: str) -> None:
        self.siblings = _siblings(folder)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        if node.level == 0 and node.module is not None:
            if node.module.partition(".")[0] in self.siblings:
                node.level = 1
            else:
                node.module = MODULES.get(node.module, node.module)
        return node

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        statements: list[ast.stmt] = []
        for alias in node.names:
            top, _, rest = alias.name.partition(".")
            renamed = MODULES.get(alias.name)
            if top in self.siblings:
                statements.append(ast.ImportFrom(None, [ast.alias(top, alias.asname)], 1))
                if rest:  # `import tasks.x` binds `tasks` and loads `tasks.x`
                    statements.append(ast.ImportFrom(top, [ast.alias(rest, "_")], 1))
            elif renamed:
                statements.append(ast.Import([ast.alias(renamed, alias.asname or alias.name)]))
            else:
                statements.append(ast.Import([alias]))
        return [_located(statement, node) for statement in statements]

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = NAMES.get(node.id, node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        node.attr = ATTRIBUTES.get(node.attr, node.attr)
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in LAZY:
            return _located(ast.Call(ast.Name("list", ast.Load()), [node], []), node)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        if isinstance(node.op, ast.Div):  # bootstrap-vz divides whole numbers only
            node.op = ast.FloorDiv()
        return self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        if isinstance(node.op, ast.Div):
            node.op = ast.FloorDiv()
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name = METHODS.get(node.name, node.name)
        return self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST | list[ast.AST]:
        """Turn ``__metaclass__``, an assignment or a nested class, into the keyword."""
        self.generic_visit(node)
        for position, statement in enumerate(node.body):
            if isinstance(statement, ast.Assign) and _is_metaclass(statement.targets[0]):
                node.keywords.append(_located(ast.keyword("metaclass", statement.value), node))
            elif isinstance(statement, ast.ClassDef) and statement.name == "__metaclass__":
                keyword = ast.keyword("metaclass", ast.Name(statement.name, ast.Load()))
                node.keywords.append(_located(keyword, node))
                node.body[position] = _located(ast.Pass(), statement)
                return [statement, node]
        return node


Node = TypeVar("Node", bound=ast.AST)


def _located(new: Node, old: ast.AST) -> Node:
    """Give ``new``, with all nodes below it, the line of ``old``; return it."""
    return ast.fix_missing_locations(ast.copy_location(new, old))


def _is_metaclass(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id == "__metaclass__"


def _print(match: re.Match[str]) -> str:
    indent, stream, arguments, comma = match.groups()
    # in bootstrap-vz every `print line,` prints a line that ends in a newline: no soft space
    end = ", end=''" if comma else ""
    file = f", file={stream}" if stream else ""
    return f"{indent}print({arguments}{end}{file})"


def translate(source: str, path: str) -> ast.Module:
    """Translate the ``source`` of the module at ``path``.

    :raises ImportError: the text of a substitution is missing, or the result is not Python 3;
        the message names the file and the version of bootstrap-vz
    """
    package, _, inside = Path(path).as_posix().rpartition("/bootstrapvz/")
    for old, new in SUBSTITUTIONS.get(inside, ()):
        if old not in source:
            raise ImportError(f"{path}: {old!r} is missing (bootstrap-vz {_version(package)})")
        source = source.replace(old, new)
    if "import print_function" not in source:
        source = PRINT.sub(_print, source)
    source = OCTAL.sub(r"0o\1", source)
    try:
        tree = ast.parse(source, path)
    except SyntaxError as error:
        raise ImportError(
            f"{path}: cannot be translated: {error} (bootstrap-vz {_version(package)})"
        ) from error
    translated: ast.Module = Translator(os.path.dirname(path)).visit(tree)
    return translated


def _version(package: str) -> str:
    """Read the version of the package without importing it."""
    try:
        text = Path(package, "bootstrapvz", "__init__.py").read_text()
    except OSError:
        return "of unknown version"
    match = re.search(r"""__version__ = ['"]([^'"]+)""", text)
    return match[1] if match else "of unknown version"
