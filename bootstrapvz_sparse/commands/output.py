"""How the commands print, and what goes on where one of several images fails."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..util.signals import interrupt_once
from ..util.text import printable
from .streams import (
    OutputFailed,
    fail,
    on_terminal,
    say,
)


def add_debug(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--debug",
        action="store_true",
        help="show on stderr which programs are run, and where in this one an error comes from",
    )


def attempt(path: Path, work: Callable[[Path], Any], *, debug: bool) -> Any:
    """What ``work`` returns; None where it fails, and why on stderr."""
    from ..util.errors import ProgramMissing, Refused, Unsupported, VerificationFailed

    try:
        return work(path)
    except (Refused, Unsupported, VerificationFailed, ProgramMissing, OSError) as error:
        complain(path, error, debug=debug)
        return None


def each(
    options: argparse.Namespace,
    work: Callable[[Path], Any],
    *,
    as_json: Callable[[Any], dict[str, Any]],
    as_text: Callable[[Any], str] | None,
    changes: bool = False,
) -> int:
    """Do ``work`` on every image, whatever happens to the others, and print what came of it.

    :raises OutputFailed: that cannot be printed; work that ``changes`` images is done nevertheless
    """
    done, status, lost = [], 0, None
    with interrupt_once():
        for path in options.images:
            result = attempt(path, work, debug=options.debug)
            if result is None:
                status = 1
                continue
            if options.json:
                done.append(as_json(result))
            elif as_text and not lost:
                try:
                    say(as_text(result))
                except OutputFailed as error:
                    if not changes:
                        raise
                    lost = error
    if lost:
        raise lost
    if options.json:
        say_json(done)
    return status


def complain(path: Path, error: Exception, *, debug: bool) -> None:
    """Name on stderr what has failed at ``path``, and with ``debug`` where."""
    if debug:
        import traceback

        with contextlib.suppress(OSError):
            traceback.print_exception(type(error), error, error.__traceback__)
    text = str(error.strerror if isinstance(error, OSError) and error.strerror else error)
    if str(path) not in text:
        text = f"{path}: {text}"
    fail(printable(text))


def say_json(images: list[dict[str, Any]]) -> None:
    import json

    from ..render.text import JSON_VERSION

    say(json.dumps({"version": JSON_VERSION, "images": images}, indent=2))


PATIENCE, INTERVAL = 1.0, 0.1  # seconds without a word, and between two


@contextlib.contextmanager
def progress(path: Path, *, quiet: bool = False) -> Iterator[Callable[[int, int], None] | None]:
    """Something that shows on a terminal how far the reading of ``path`` is, if it takes long."""
    if quiet or not on_terminal(sys.stderr):
        yield None
        return
    next_time, shown = time.monotonic() + PATIENCE, False

    def write(text: str) -> None:
        with contextlib.suppress(OSError):  # a terminal that is gone is no reason to stop
            print(text, end="", file=sys.stderr, flush=True)

    def show(done: int, expected: int) -> None:
        nonlocal next_time, shown
        if time.monotonic() >= next_time:
            percent = f": {100 * done // max(expected, 1)} % read"
            room = (shutil.get_terminal_size().columns or 80) - len(percent) - 1
            write(f"\r{printable(path.name)[: max(room, 0)]}{percent}")
            next_time, shown = time.monotonic() + INTERVAL, True

    try:
        yield show
    finally:
        if shown:
            write("\r\033[K")
