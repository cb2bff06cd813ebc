"""What a build shows: phases, a line for each task with the time it took, and what goes wrong.

On a terminal the last line tells how far the running task is; elsewhere it is plain text, and the
line of a task is completed when the task is.
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

TASKS = "bootstrapvz.base.tasklist"  # logs the description of each task as it begins
PROGRAMS = "bootstrapvz.common.tools."  # logs what programs print: for the log file
STYLES = {logging.WARNING: "magenta", logging.ERROR: "red"}


class _Tolerant:
    """A stream that may be gone or full, which must not keep a build from its rollback."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self.lost = stream, False
        self.encoding = stream.encoding or "utf-8"

    def write(self, text: str) -> None:
        with self._noticing():
            self._stream.write(text)

    def flush(self) -> None:
        with self._noticing():
            self._stream.flush()

    @contextlib.contextmanager
    def _noticing(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self.lost = True


class ConsoleHandler(logging.Handler):
    """Writes ``task ... 12.3 s``, the time when the task has ended.

    ``live``: the stream is a terminal, whose last line can be written over and over. ``phases``
    has the phase of each task, by the task's description.
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
        self._stream = _Tolerant(stream)
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
        self.said = ""  # the last line that a program printed before something failed
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
        """Whether anything could not be written."""
        return self._stream.lost

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        of_program = record.name.startswith(PROGRAMS)
        if of_program:
            self.progress.heard(text)
            if text.strip() and not self.failed:
                self.said = "" if text.startswith(BEGINS) else text
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
        self.finish()
        phase = self.phases.get(task, self.phase)
        if phase != self.phase and not self.failed:  # a rollback belongs to none
            self.phase = phase
            self._write(f"{phase}\n", "bold")
        self.task, self.began, self.progress = task, time.monotonic(), Progress()
        if self._live:
            self._live.start()
        else:
            self._write(f"{self._indent}{task} ... ")
            self.open_line = True

    def finish(self, how: str = "") -> None:
        """The running task has ended, and ``how``: show its time."""
        seconds = time.monotonic() - self.began
        if self._live:
            self._live.stop()
        if self.open_line:
            self._write(f"{how}{seconds:.1f} s\n")
        elif self.task is not None and (self._live or seconds >= 1):
            # in a pipe it has said something meanwhile
            self._write(f"{self._indent}{self.task} ... {how}{seconds:.1f} s\n")
        self.task, self.open_line = None, False

    @property
    def _indent(self) -> str:
        return "  " if self.phase else ""

    def __rich__(self) -> Text:
        """The last line of a terminal: what goes on, in its width."""
        seconds = time.monotonic() - self.began
        line = f"{self._indent}{self.task} ... {seconds:.0f} s  {self.progress.text}"
        return Text(line.rstrip(), no_wrap=True, overflow="ellipsis")

    def _write(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style), end="")
