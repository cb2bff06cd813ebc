"""Signals that end us, so that everything is put in order before."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def interrupt_once() -> Iterator[None]:
    """Let the first of all signals that end us interrupt us, and none what is done about it.

    Those that we were started to ignore, as by nohup(1), stay ignored.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        error = sys.exc_info()[1]
        while error is not None:  # what is being handled at this moment, and what led to it
            if isinstance(error, KeyboardInterrupt):
                return
            error = error.__context__
        raise KeyboardInterrupt(signal.Signals(number).name)

    heard = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    with handlers(interrupt, *heard):
        yield


@contextlib.contextmanager
def handlers(handler: Any, *numbers: signal.Signals) -> Iterator[None]:
    """Handle signals by ``handler`` for a while."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@contextlib.contextmanager
def defer_signals() -> Iterator[None]:
    """Let the signals that end us wait until the body is done, which starts no programs."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
