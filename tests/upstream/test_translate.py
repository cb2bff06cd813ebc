"""The rules of the translation, one by one, and its errors."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from bootstrapvz_sparse.upstream import translate as module
from bootstrapvz_sparse.upstream.translate import translate


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package named bootstrapvz, as substitutions expect, with siblings to import."""
    root = tmp_path / "bootstrapvz"
    for name in ("__init__.py", "locale.py", "tasks/__init__.py", "tasks/apt.py"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    (root / "__init__.py").write_text("__version__ = '0.9.11'\n")
    return root


def result(package: Path, source: str, name: str = "module.py") -> str:
    return ast.unparse(translate(source, str(package / name)))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import locale", "from . import locale"),
        ("import locale as l", "from . import locale as l"),
        ("from locale import x", "from .locale import x"),
        ("import tasks.apt", "from . import tasks\nfrom .tasks import apt as _"),
        ("from tasks.apt import x", "from .tasks.apt import x"),
        ("from .tasks import apt", "from .tasks import apt"),
        ("import os, locale", "import os\nfrom . import locale"),
        ("import logging", "import logging"),
        ("import urllib", f"import {module.PY2_STDLIB} as urllib"),
        ("import urllib2 as u", f"import {module.PY2_STDLIB} as u"),
        ("from pkg_resources import x", f"from {module.PY2_STDLIB} import x"),
        ("from urlparse import urlparse", "from urllib.parse import urlparse"),
        ("from pipes import quote", "from shlex import quote"),
        ("print 'a', b", "print('a', b)"),
        ("print line,", "print(line, end='')"),
        ("print >>f, 'text'", "print('text', file=f)"),
        ("print('a')", "print('a')"),
        ("os.chmod(path, 0755)", "os.chmod(path, 493)"),
        ("mode = x & 0777\n", "mode = x & 511"),
        ("for k, v in d.iteritems(): pass", "for k, v in d.items():\n    pass"),
        ("sorted(d.iterkeys())", "sorted(d.keys())"),
        ("d.itervalues()", "d.values()"),
        ("log.warn('x')", "log.warning('x')"),
        ("isinstance(q, (int, long))", "isinstance(q, (int, int))"),
        ("raw_input('?')", "input('?')"),
        ("xrange(3)", "range(3)"),
        ("map(str, x)", "list(map(str, x))"),
        ("filter(f, zip(a, b))", "list(filter(f, list(zip(a, b))))"),
        ("x.map(f)", "x.map(f)"),
        ("a / b", "a // b"),
        ("a /= b", "a //= b"),
        ("def __div__(self, o): pass", "def __floordiv__(self, o):\n    pass"),
        ("def __idiv__(self, o): pass", "def __ifloordiv__(self, o):\n    pass"),
    ],
)
def test_translates(package: Path, source: str, expected: str) -> None:
    assert result(package, source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "class A(object):\n    __metaclass__ = Meta\n",
        "class A(object):\n    class __metaclass__(Meta):\n        mark = 2\n",
    ],
)
def test_metaclass_becomes_keyword(package: Path, source: str) -> None:
    class Meta(type):
        mark = 1

    names: dict[str, Any] = {"Meta": Meta, "__name__": "x"}
    exec(compile(translate(source, str(package / "module.py")), "x", "exec"), names)
    assert isinstance(names["A"], Meta)
    assert names["A"].mark in (1, 2)


def test_keeps_line_numbers(package: Path) -> None:
    source = "import locale\nprint 'x'\n\nmap(a,\n    b / c)\nraise_here()\n"
    tree = translate(source, str(package / "module.py"))
    assert [node.lineno for node in tree.body] == [1, 2, 4, 6]
    compile(tree, "module.py", "exec")


def test_reports_missing_text_of_substitution(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module.SUBSTITUTIONS, "tasks/apt.py", (("old", "new"),))
    assert result(package, "x = 'old'", "tasks/apt.py") == "x = 'new'"
    with pytest.raises(
        ImportError, match=r"tasks/apt\.py: 'old' is missing \(bootstrap-vz 0\.9\.11\)"
    ):
        result(package, "x = 'other'", "tasks/apt.py")


def test_reports_source_that_is_not_python(package: Path) -> None:
    with pytest.raises(ImportError, match=r"module\.py: cannot be translated: .*0\.9\.11"):
        result(package, "exec 'code' in names")
