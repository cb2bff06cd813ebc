"""How the commands print, and what goes on where one of several images fails."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..image.report import printable
from ..signals import first_one_interrupts


def attempt(path: Path, work: Callable[[Path], Any]) -> Any:
    """What ``work`` returns; None where it fails, and why on stderr."""
    from ..image.access import Refused
    from ..image.holes import NotSupported
    from ..image.programs import Missing
    from ..image.verify import Changed

    try:
        return work(path)
    except (Refused, NotSupported, Changed, Missing, OSError) as error:
        complain(path, error)
        return None


def each(
    options: argparse.Namespace,
    work: Callable[[Path], Any],
    *,
    as_json: Callable[[Any], dict[str, Any]],
    as_text: Callable[[Any], str] | None,
) -> int:
    """Do ``work`` on every image, whatever happens to the others, and print what came of it."""
    done, status = [], 0
    with first_one_interrupts():
        for path in options.images:
            result = attempt(path, work)
            if result is None:
                status = 1
                continue
            if options.json:
                done.append(as_json(result))
            elif as_text:
                say(as_text(result))
    if options.json:
        say_json(done)
    return status


def complain(path: Path, error: Exception) -> None:
    text = str(error.strerror if isinstance(error, OSError) and error.strerror else error)
    if str(path) not in text:
        text = f"{path}: {text}"
    print(f"bvz-sparse: error: {printable(text)}", file=sys.stderr)


def say_json(images: list[dict[str, Any]]) -> None:
    import json

    from ..image.show import JSON_VERSION

    say(json.dumps({"version": JSON_VERSION, "images": images}, indent=2))


def say(text: str) -> None:
    """Print what may contain paths, whose bytes need be no text."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


PATIENCE, INTERVAL = 1.0, 0.1  # seconds without a word, and between two


@contextlib.contextmanager
def progress(path: Path, *, quiet: bool = False) -> Iterator[Callable[[int, int], None] | None]:
    """Something that shows on a terminal how far the reading of ``path`` is, if it takes long."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    next_time, shown = time.monotonic() + PATIENCE, False

    def show(done: int, expected: int) -> None:
        nonlocal next_time, shown
        if time.monotonic() >= next_time:
            percent = 100 * done // max(expected, 1)
            print(
                f"\r{printable(path.name)}: {percent} % read", end="", file=sys.stderr, flush=True
            )
            next_time, shown = time.monotonic() + INTERVAL, True

    try:
        yield show
    finally:
        if shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
