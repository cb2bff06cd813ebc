"""Messages of a build: its progress, and the reason of a failure."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import subprocess

import pytest

from bootstrapvz_sparse.builder import console
from bootstrapvz_sparse.builder.failure import cause


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(console, "time", clock)
    return clock


def record(
    name: str, level: int, text: str, exception: BaseException | None = None
) -> logging.LogRecord:
    info = (type(exception), exception, None) if exception else None
    return logging.LogRecord(name, level, "file", 1, text, None, info)  # type: ignore[arg-type]


def test_tasks_and_their_times(clock: Clock) -> None:
    stream = io.StringIO()
    handler = console.ConsoleHandler(stream, colour=False, debug=False)
    handler.handle(record(console.TASKS, logging.INFO, "Installing Debian"))
    assert stream.getvalue() == "Installing Debian ... "  # seen while it runs
    clock.now = 45.25
    handler.handle(record(f"{console.PROGRAMS}usr.sbin.x", logging.ERROR, "chatter"))
    handler.handle(record(console.TASKS, logging.INFO, "Moving"))
    handler.handle(record("bootstrapvz.common.tasks.image", logging.INFO, "moved to x"))
    clock.now = 48
    handler.handle(record(console.TASKS, logging.INFO, "Showing"))
    handler.handle(record("bootstrapvz_sparse.plugin.tasks.ledger", logging.INFO, "a table"))
    handler.finish()
    handler.finish()
    assert stream.getvalue().splitlines() == [
        "Installing Debian ... 45.2 s",
        "Moving ... ",
        "moved to x",
        "Moving ... 2.8 s",
        "Showing ... ",
        "a table",
    ]


def test_a_task_that_fails(clock: Clock) -> None:
    stream = io.StringIO()
    handler = console.ConsoleHandler(stream, colour=False, debug=False)
    handler.handle(record(console.TASKS, logging.INFO, "Installing Debian"))
    clock.now = 7
    handler.handle(record("x", logging.ERROR, "a traceback", ValueError("no")))
    handler.handle(record("x", logging.ERROR, "Rolling back"))
    assert stream.getvalue().splitlines() == [
        "Installing Debian ... failed after 7.0 s",
        "Rolling back",
    ]


def test_survives_a_console_that_is_gone(clock: Clock) -> None:
    reading, writing = os.pipe()
    stream = open(writing, "w")  # noqa: SIM115
    handler = console.ConsoleHandler(stream, colour=False, debug=False)
    handler.handle(record(console.TASKS, logging.INFO, "Installing Debian"))
    assert not handler.lost and os.read(reading, 100) == b"Installing Debian ... "
    os.close(reading)
    handler.handle(record("x", logging.ERROR, "Rolling back"))
    handler.handle(record(console.TASKS, logging.INFO, "Deleting volume"))
    handler.finish()
    assert handler.lost
    with contextlib.suppress(BrokenPipeError):
        stream.close()


def test_debug_shows_programs_and_tracebacks(clock: Clock) -> None:
    for debug, shown in ((False, ""), (True, "Executing: x\nchatter\nbroken\n")):
        stream = io.StringIO()
        handler = console.ConsoleHandler(stream, colour=False, debug=debug)
        handler.handle(record(f"{console.PROGRAMS}x", logging.DEBUG, "Executing: x"))
        assert handler.last_line == ""
        handler.handle(record(f"{console.PROGRAMS}x", logging.DEBUG, "chatter"))
        assert handler.last_line == "chatter"
        handler.handle(record("x", logging.ERROR, "broken", ValueError("broken")))
        assert stream.getvalue() == shown


def test_colour(clock: Clock) -> None:
    stream = io.StringIO()
    handler = console.ConsoleHandler(stream, colour=True, debug=False)
    handler.handle(record("x", logging.ERROR, "broken"))
    assert stream.getvalue() == "\033[31mbroken\033[0m\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("two\n  lines"), "two lines"),
        (ValueError(), "ValueError"),
        (KeyboardInterrupt(), "interrupted"),
        (KeyboardInterrupt("SIGTERM"), "interrupted by SIGTERM"),
        (
            subprocess.CalledProcessError(100, "apt-get update", "W: x\nE: no network\n\n"),
            "`apt-get update' ended with status 100: E: no network",
        ),
        (
            subprocess.CalledProcessError(1, ["mount", "a b"], ""),
            "`mount 'a b'' ended with status 1",
        ),
        (
            subprocess.CalledProcessError(2, "x" * 100, None),
            f"`{'x' * 77}...' ended with status 2",
        ),
    ],
)
def test_cause_in_one_line(error: BaseException, line: str) -> None:
    assert cause(error) == line


def test_what_a_program_said_last() -> None:
    error = subprocess.CalledProcessError(1, "debootstrap x", "")
    assert cause(error, "E: no Release") == "`debootstrap x' ended with status 1: E: no Release"
    error = subprocess.CalledProcessError(1, "apt-get update", "E: no network")
    assert cause(error, "chatter").endswith(": E: no network")
