"""``bvz-sparse --print-completion``: what completes the command line in a shell.

shtab writes it from the parser. It is imported when it is asked for, and need not be installed
for anything else.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SHELLS = ("bash", "zsh", "fish")
FOLDERS = ("FOLDER", "WORKSPACE")  # the metavars of arguments that are no files


class PrintCompletion(argparse.Action):
    """Print it and end, as ``--version`` does."""

    def __init__(self, option_strings: list[str], dest: str, **others: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, default=argparse.SUPPRESS, **others)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        try:
            print(script(parser, values))
        except ModuleNotFoundError:
            print(
                "bvz-sparse: error: shtab is not installed "
                "(pip install 'bootstrapvz-sparse[completion]')",
                file=sys.stderr,
            )
            parser.exit(1)
        except NotImplementedError:
            print(f"bvz-sparse: error: this shtab is too old for {values}", file=sys.stderr)
            parser.exit(1)
        parser.exit()


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The completion of ``parser`` for ``shell``.

    :raises ModuleNotFoundError: shtab is not installed
    :raises NotImplementedError: that version of it does not know the shell
    """
    import shtab

    for action in _actions(parser):
        if action.metavar in FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    text: str = shtab.complete(parser, shell)
    return text


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The arguments of ``parser`` and of all its commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
        else:
            yield action
