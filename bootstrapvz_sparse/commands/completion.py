"""Completion scripts, which shtab writes from the parser.

Nothing else needs shtab.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from ..util.errors import Unsupported

FOLDERS = ("FOLDER", "WORKSPACE")  # the metavars of arguments that are directories


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the completion script of ``parser`` for ``shell``.

    :raises Unsupported: shtab is not installed, or that version of it does not know the shell
    """
    try:
        import shtab  # optional
    except ModuleNotFoundError as error:
        raise Unsupported(
            "shtab: not installed (pip install shtab, or the Debian package python3-shtab)"
        ) from error
    for action in _actions(parser):
        if action.metavar in FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    try:
        text: str = shtab.complete(parser, shell)
    except NotImplementedError as error:
        raise Unsupported(f"shtab: this version does not know {shell} (upgrade it)") from error
    return text


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of ``parser`` and of all its commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
        else:
            yield action
