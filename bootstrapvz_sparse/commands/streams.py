"""The standard streams: what can be printed there, and what becomes of it where they fail."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import TextIO

from ..util import programs


class OutputFailed(Exception):
    """What a command had to say could not be written; the text says where and why."""


def guard() -> None:
    """Let no file that is opened later get the number of a standard stream that is closed."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def say(text: str) -> None:
    """Print what may contain paths, whose bytes need be no text.

    :raises OutputFailed: it cannot be printed
    """
    if sys.stdout is None:  # Python's way to say that it is closed
        raise OutputFailed("standard output: closed")
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding))
    except OSError as error:
        raise OutputFailed(f"standard output: {error.strerror}") from error


def fail(text: str) -> None:
    """Name an error on stderr; where that fails, too, the exit code has to do."""
    note(f"bvz-sparse: error: {text}")


def note(text: str) -> None:
    """Say something on stderr that is no error."""
    if sys.stderr is not None:  # None: print would take standard output
        with contextlib.suppress(OSError):
            print(text, file=sys.stderr)


def finish(status: int) -> int:
    """Write what is still in memory; the exit code, which is 1 where anything was lost."""
    try:
        _flush(sys.stdout)
    except OSError as error:
        fail(f"standard output: {error.strerror}")
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
        # Python would try once more when it exits, and complain
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        raise


def on_terminal(stream: TextIO | None) -> bool:
    """Whether lines on ``stream`` can be overwritten."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def coloured(stream: TextIO | None) -> bool:
    """Whether to print colours on ``stream``: see https://no-color.org."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or on_terminal(stream)


def can_print(text: str) -> bool:
    """Whether standard output can have these characters."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def log_programs() -> None:
    """Print each external program that is started on stderr."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            note(record.getMessage())

    logger = logging.getLogger(programs.__name__)
    logger.addHandler(Handler())
    logger.setLevel(logging.DEBUG)
