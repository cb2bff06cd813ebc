"""What a build shows: a line for each task with the time it took, and what goes wrong."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TextIO

from termcolor import colored

TASKS = "bootstrapvz.base.tasklist"  # logs the description of each task as it begins
PROGRAMS = "bootstrapvz.common.tools."  # logs what programs print: for the log file
COLOURS = {logging.WARNING: "magenta", logging.ERROR: "red"}


class ConsoleHandler(logging.Handler):
    """Writes ``task ... 12.3 s``, the time when the task has ended."""

    def __init__(self, stream: TextIO, *, colour: bool, debug: bool) -> None:
        super().__init__(logging.DEBUG)
        self.stream = stream
        self.colour = colour
        self.debug = debug
        self.task: str | None = None
        self.began = 0.0
        self.open_line = False
        self.said = ""  # the last line that a program printed before something failed
        self.failed = False

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        of_program = record.name.startswith(PROGRAMS)
        if of_program and text.strip() and not self.failed:
            self.said = "" if text.startswith("Executing: ") else text
        if record.exc_info:
            self.failed = True
            self.finish("failed after ")
        quiet = of_program or record.exc_info or record.levelno < logging.INFO
        if quiet and not self.debug:
            return
        if record.name == TASKS and record.levelno == logging.INFO:
            self.finish()
            self.task, self.began, self.open_line = text, time.monotonic(), True
            self.write(f"{text} ... ")
            return
        if self.open_line:
            self.write("\n")
            self.open_line = False
        colour = COLOURS.get(record.levelno)
        self.write(
            (colored(text, colour, force_color=True) if self.colour and colour else text) + "\n"
        )

    def finish(self, how: str = "") -> None:
        """The running task has ended, and ``how``: show its time."""
        seconds = time.monotonic() - self.began
        if self.open_line:
            self.write(f"{how}{seconds:.1f} s\n")
        elif self.task is not None and seconds >= 1:  # it has said something meanwhile
            self.write(f"{self.task} ... {how}{seconds:.1f} s\n")
        self.task, self.open_line = None, False

    def write(self, text: str) -> None:
        # a terminal or pipe that is gone must not keep a build from its rollback
        with contextlib.suppress(OSError):
            self.stream.write(text)
            self.stream.flush()
