"""The standard streams: printing, colours, and streams that are closed, full or gone."""

from __future__ import annotations

import contextlib
import os
import sys

from ..util.errors import OutputFailed, SparseError
from ..util.text import printable

TYPE_CHECKING = False  # typing and pathlib are not loaded for --version
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import TextIO, TypeVar

    T = TypeVar("T")

DEFAULT_COLUMNS = 80


class CommandFailed(SparseError):
    """An error whose text begins with the file concerned."""


def guard() -> None:
    """Open closed standard streams, so that no other file gets their descriptors."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number


def print_output(text: str) -> None:
    """Print ``text`` on stdout, with escapes for characters that it cannot encode.

    :raises OutputFailed: standard output cannot be written
    """
    if sys.stdout is None:  # closed
        raise OutputFailed("standard output: closed")
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding))
    except OSError as error:
        raise OutputFailed(f"standard output: {error.strerror}") from error


def print_error(text: str) -> None:
    """Print an error on stderr; if that fails, the exit code alone reports it."""
    print_message(f"bvz-sparse: error: {text}")


def print_message(text: str) -> None:
    """Print ``text`` on stderr, and ignore failures."""
    if sys.stderr is not None:  # closed, and print() would use stdout
        with contextlib.suppress(OSError):
            print(text, file=sys.stderr)


@contextlib.contextmanager
def about(subject: Path) -> Iterator[None]:
    """Prefix errors raised in the body with the file concerned.

    :raises CommandFailed: instead of the error
    """
    try:
        yield
    except OutputFailed:  # names standard output
        raise
    except (SparseError, OSError) as error:
        text = error.strerror if isinstance(error, OSError) else None
        text = text or str(error)
        if str(subject) not in text:
            text = f"{subject}: {text}"
        raise CommandFailed(printable(text)) from error


def attempt(work: Callable[[], T], *, debug: bool = False) -> T | None:
    """Return the result of ``work``; if it fails, print the error and return None.

    ``debug`` prints a traceback before the error.
    """
    try:
        return work()
    except (SparseError, OSError) as error:
        if debug:
            import traceback  # only debugging needs it

            with contextlib.suppress(OSError):
                traceback.print_exception(type(error), error, error.__traceback__)
        print_error(str(error))
        return None


def finish(status: int) -> int:
    """Flush the standard streams; return ``status``, or 1 if output was lost."""
    try:
        _flush(sys.stdout)
    except OSError as error:
        print_error(f"standard output: {error.strerror}")
        status = status or 1
    try:
        _flush(sys.stderr)
    except OSError:
        status = status or 1
    return status


def _flush(stream: TextIO | None) -> None:
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        # or Python would flush again at exit, and print a message
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        raise


def columns() -> int:
    """Return the width of the terminal, or COLUMNS of the environment, as shutil does."""
    with contextlib.suppress(KeyError, ValueError):
        if (width := int(os.environ["COLUMNS"])) > 0:
            return width
    with contextlib.suppress(ValueError, OSError):  # closed, or not a terminal
        if sys.__stdout__ is not None:
            return os.get_terminal_size(sys.__stdout__.fileno()).columns or DEFAULT_COLUMNS
    return DEFAULT_COLUMNS


def on_terminal(stream: TextIO | None) -> bool:
    """Return True if lines on ``stream`` can be overwritten."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def coloured(stream: TextIO | None) -> bool:
    """Return True if ``stream`` gets colours; see https://no-color.org."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or on_terminal(stream)


def can_print(text: str) -> bool:
    """Return True if stdout can encode ``text``."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return False
    return True
