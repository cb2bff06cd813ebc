"""Print each docstring that begins with a relative word or a preposition; exit 1 if there is any.

    python3 tools/docstrings.py [FILE...]

The rules are in CONTRIBUTING.md. Without FILE, all Python files that git tracks are read.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

WRONG_START = re.compile(
    r"(What|Whatever|Whether|Whose|Whoever|Those|That|Which|Where|Of|For|In|By|To|How)\b"
)


def find_wrong(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line number and the first line of each docstring that begins wrongly.

    :raises SyntaxError: the file is not Python
    """
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node)
            if text and WRONG_START.match(text):
                yield node.body[0].lineno, text.splitlines()[0]


def main(arguments: list[str]) -> int:
    names = arguments or subprocess.check_output(["git", "ls-files", "*.py"], text=True).split("\n")
    wrong = 0
    for name in filter(None, names):
        for number, line in find_wrong(Path(name)):
            print(f"{name}:{number}: begin with a verb or a noun, not: {line}")
            wrong += 1
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
