"""Results of several images, as text or as JSON, and the progress of reading them."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from ..render.json import images_json
from ..util.errors import OutputFailed
from ..util.signals import interrupt_once
from ..util.text import printable
from .streams import about, attempt, columns, on_terminal, print_output

T = TypeVar("T")
PATIENCE, INTERVAL = 1.0, 0.1  # seconds before the first progress line, and between two


def each(
    images: Sequence[Path],
    work: Callable[[Path], T],
    *,
    as_json: Callable[[T], dict[str, object]] | None,
    as_text: Callable[[T], str] | None,
    changes: bool = False,
    debug: bool,
) -> int:
    """Do ``work`` on every image, even if others fail, and print the results.

    ``as_json``: print one JSON document instead of one text for each image. ``changes``: the work
    has effects, so it continues even if its results cannot be printed. Return the exit code.

    :raises OutputFailed: standard output cannot be written
    """
    results, status, output_failed = [], 0, None
    with interrupt_once():
        for path in images:
            result = attempt(partial(_work_on, path, work), debug=debug)
            if result is None:
                status = 1
            elif as_json:
                results.append(as_json(result))
            elif as_text and not output_failed:
                try:
                    print_output(as_text(result))
                except OutputFailed as error:
                    if not changes:
                        raise
                    output_failed = error
    if output_failed:
        raise output_failed
    if as_json:
        print_output(json.dumps(images_json(results), indent=2))
    return status


def _work_on(path: Path, work: Callable[[Path], T]) -> T:
    with about(path):
        return work(path)


@contextlib.contextmanager
def progress(path: Path, *, quiet: bool = False) -> Iterator[Callable[[int, int], None] | None]:
    """Yield a function that shows the progress of reading ``path`` on a terminal.

    It is called with the bytes read so far and the bytes to read in total; nothing is shown during
    the first second. Yield None if stderr is not a terminal, or if ``quiet``.
    """
    if quiet or not on_terminal(sys.stderr):
        yield None
        return
    next_time, shown = time.monotonic() + PATIENCE, False

    def write(text: str) -> None:
        with contextlib.suppress(OSError):  # a lost terminal does not end the work
            print(text, end="", file=sys.stderr, flush=True)

    def show(done: int, expected: int) -> None:
        nonlocal next_time, shown
        if time.monotonic() >= next_time:
            percent = f": {100 * done // max(expected, 1)} % read"
            room = max(columns() - len(percent) - 1, 0)
            write(f"\r{printable(path.name)[:room]}{percent}")
            next_time, shown = time.monotonic() + INTERVAL, True

    try:
        yield show
    finally:
        if shown:
            write("\r\033[K")
