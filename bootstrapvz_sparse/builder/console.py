"""The output of a build: phases, a line for each task with its time, and warnings.

On a terminal the last line shows the progress of the running task; otherwise the line of a task is
completed when the task ends.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping
from typing import TextIO, cast

from rich.console import Console
from rich.live import Live
from rich.text import Text

from .progress import BEGINS, Progress

TASKS = "bootstrapvz.base.tasklist"  # logs the description of each task when it begins
PROGRAMS = "bootstrapvz.common.tools."  # log the output of programs, for the log file
STYLES = {logging.WARNING: "magenta", logging.ERROR: "red"}


class _TolerantStream:
    """A stream that counts errors instead of raising them: they must not prevent a rollback."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self.lost = stream, False
        self.encoding = stream.encoding or "utf-8"

    def write(self, text: str) -> None:
        with self._tolerating():
            self._stream.write(text)

    def flush(self) -> None:
        with self._tolerating():
            self._stream.flush()

    @contextlib.contextmanager
    def _tolerating(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self.lost = True


class ConsoleHandler(logging.Handler):
    """A handler that writes ``task ... 12.3 s``, with the time once the task has ended.

    ``live``: the stream is a terminal whose last line can be overwritten. ``phases`` maps the
    description of a task to its phase.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        colour: bool,
        debug: bool,
        live: bool = False,
        phases: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(logging.DEBUG)
        self._stream = _TolerantStream(stream)
        self._console = Console(
            file=cast(TextIO, self._stream),
            force_terminal=live,
            color_system="standard" if colour else None,
            no_color=not colour,
            soft_wrap=True,
            markup=False,
            emoji=False,
            highlight=False,
        )
        self.debug = debug
        self.phases, self.phase = phases or {}, ""
        self.task: str | None = None
        self.began = 0.0
        self.open_line = False
        self.progress = Progress()
        self.last_line = ""  # printed by a program, before something failed
        self.failed = False
        self._live = (
            Live(
                self,
                console=self._console,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            if live
            else None
        )

    @property
    def lost(self) -> bool:
        """Return whether any output could not be written."""
        return self._stream.lost

    def emit(self, record: logging.LogRecord) -> None:
        """Show a task, a warning or an error; output of programs only with ``debug``."""
        text = record.getMessage()
        of_program = record.name.startswith(PROGRAMS)
        if of_program:
            self.progress.update(text)
            if text.strip() and not self.failed:
                self.last_line = "" if text.startswith(BEGINS) else text
        if record.exc_info:
            self.failed = True
            self.finish("failed after ")
        quiet = of_program or record.exc_info or record.levelno < logging.INFO
        if quiet and not self.debug:
            return
        if record.name == TASKS and record.levelno == logging.INFO:
            self._begin(text)
            return
        if self.open_line:
            self._write("\n")
            self.open_line = False
        self._write(f"{text}\n", STYLES.get(record.levelno, ""))

    def _begin(self, task: str) -> None:
        """Show that ``task`` has begun."""
        self.finish()
        phase = self.phases.get(task, self.phase)
        if phase != self.phase and not self.failed:  # a rollback has no phase
            self.phase = phase
            self._write(f"{phase}\n", "bold")
        self.task, self.began, self.progress = task, time.monotonic(), Progress()
        if self._live:
            self._live.start()
        else:
            self._write(f"{self._indent}{task} ... ")
            self.open_line = True

    def finish(self, how: str = "") -> None:
        """Show the time of the running task, which has ended; ``how`` precedes it."""
        seconds = time.monotonic() - self.began
        if self._live:
            self._live.stop()
        if self.open_line:
            self._write(f"{how}{seconds:.1f} s\n")
        elif self.task is not None and (self._live or seconds >= 1):
            # in a pipe, other lines have followed its own
            self._write(f"{self._indent}{self.task} ... {how}{seconds:.1f} s\n")
        self.task, self.open_line = None, False

    @property
    def _indent(self) -> str:
        return "  " if self.phase else ""

    def __rich__(self) -> Text:
        """Return the last line of a terminal, cut to its width."""
        seconds = time.monotonic() - self.began
        line = f"{self._indent}{self.task} ... {seconds:.0f} s  {self.progress.text}"
        return Text(line.rstrip(), no_wrap=True, overflow="ellipsis")

    def _write(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style), end="")
