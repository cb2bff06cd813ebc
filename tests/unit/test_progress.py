"""The progress of the running task is shown on the last line of a terminal only."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import pty
import re

from bootstrapvz_sparse.builder.console import PROGRAMS, TASKS, ConsoleHandler
from bootstrapvz_sparse.builder.progress import Progress

# What debootstrap, apt-get and dpkg print, as of Debian 12, and what is told of it.
DEBOOTSTRAP = [
    ("I: Retrieving InRelease", ""),
    ("I: Retrieving adduser 3.134", "retrieving 1: adduser"),
    ("I: Validating adduser 3.134", "validating 1: adduser"),
    ("I: Retrieving apt 2.6.1", "retrieving 2: apt"),
    ("I: Extracting apt...", "extracting 1 of 2: apt"),
    ("I: Unpacking required packages...", "extracting 1 of 2: apt"),
    ("I: Unpacking libc6:amd64...", "unpacking 1 of 2: libc6:amd64"),
    ("I: Configuring apt...", "configuring 1 of 2: apt"),
    ("I: Configuring adduser...", "configuring 2 of 2: adduser"),
    ("I: Base system installed successfully.", "configuring 2 of 2: adduser"),
]
APT = [
    ("Get:2 http://mirror.example/debian bookworm InRelease [151 kB]", "1: bookworm InRelease"),
    ("Executing: chroot /x apt-get install openssh-server", ""),
    ("8 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.", ""),
    (
        "Get:1 http://mirror.example/debian bookworm/main amd64 ucf all 3.0 [55.3 kB]",
        "downloading 1 of 10: ucf",
    ),
    ("Unpacking tzdata (2026f) over (2026b) ...", "unpacking 1 of 10: tzdata"),
    ("Setting up ucf (3.0) ...", "setting up 1 of 10: ucf"),
    ("Setting up \x1b[31m (3.0) ...", r"setting up 2 of 10: \x1b[31m"),
]


def test_what_programs_print() -> None:
    for lines in (DEBOOTSTRAP, APT):
        progress = Progress()
        for line, text in lines:
            progress.update(line)
            assert progress.text.endswith(text) if text else progress.text == ""


def test_more_than_was_expected() -> None:
    progress = Progress()
    progress.update("0 upgraded, 1 newly installed, 0 to remove and 0 not upgraded.")
    progress.update("Setting up ucf (3.0) ...")
    assert progress.text == "setting up 1 of 1: ucf"
    progress.update("Setting up tzdata (2026f) ...")
    assert progress.text == "setting up 2: tzdata"


def run_tasks(handler: ConsoleHandler) -> None:
    """A phase with two tasks, the second of which takes long enough to be drawn."""
    for name, level, text in (
        (TASKS, logging.INFO, "Mounting"),
        (TASKS, logging.INFO, "Installing Debian"),
        (f"{PROGRAMS}x", logging.DEBUG, "I: Retrieving libc6 2.36"),
        ("x", logging.WARNING, "a remark"),
    ):
        handler.handle(logging.LogRecord(name, level, "file", 1, text, None, None))
    if handler._live:
        handler._live.refresh()
    handler.finish()


PHASES = {"Mounting": "Volume", "Installing Debian": "OS installation"}
ESCAPE = re.compile(r"\x1b\[[?\d;]*[A-Za-z]")


def read(terminal: int) -> str:
    """All that was written to it, whose other end is closed."""
    said = b""
    with contextlib.suppress(OSError):  # EIO: there is no more
        while chunk := os.read(terminal, 65536):
            said += chunk
    os.close(terminal)
    return said.decode()


def test_on_a_terminal() -> None:
    for colour in (True, False):
        ours, theirs = pty.openpty()
        with open(theirs, "w") as stream:
            run_tasks(ConsoleHandler(stream, colour=colour, debug=False, live=True, phases=PHASES))
        said = read(ours)
        assert "  Installing Debian ... 0 s  retrieving 1: libc6" in said
        assert ("\x1b[1mVolume\x1b[0m" in said) == colour
        assert ("\x1b[35ma remark\x1b[0m" in said) == colour
        assert said.count("\x1b[?25l") == said.count("\x1b[?25h") == 2  # the cursor is back
        *_, last = ESCAPE.sub("", said).splitlines()
        assert re.fullmatch(r"  Installing Debian \.\.\. 0\.\d s", last.rpartition("\r")[2])


def test_no_wider_than_the_terminal() -> None:
    stream = io.StringIO()
    handler = ConsoleHandler(stream, colour=False, debug=False, live=True)
    handler._console.width = 30
    handler.handle(logging.LogRecord(TASKS, logging.INFO, "file", 1, "x" * 40, None, None))
    assert handler._live
    handler._live.refresh()
    drawn = ESCAPE.sub("", stream.getvalue()).replace("\r", "\n").splitlines()
    assert max(map(len, drawn)) == 30 and drawn[-1].endswith("…")
    handler.finish()
    assert "x" * 40 in stream.getvalue()


def test_in_a_pipe() -> None:
    stream = io.StringIO()
    run_tasks(ConsoleHandler(stream, colour=False, debug=False, phases=PHASES))
    assert stream.getvalue().splitlines() == [
        "Volume",
        "  Mounting ... 0.0 s",
        "OS installation",
        "  Installing Debian ... ",
        "a remark",
    ]


def test_what_a_full_disk_does_not_take() -> None:
    with open("/dev/full", "w") as stream:
        handler = ConsoleHandler(stream, colour=False, debug=False)
        run_tasks(handler)
        assert handler.lost
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
