"""Terminating signals: raised once as KeyboardInterrupt, so that cleanup runs to its end."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_deferred: list[int] | None = None  # signals received while deferred


@contextlib.contextmanager
def interrupt_once() -> Iterator[None]:
    """Raise KeyboardInterrupt on the first terminating signal; ignore further ones during cleanup.

    Signals that the caller ignores, as nohup(1) does, stay ignored.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        if _deferred is not None:
            _deferred.append(number)
            return
        error = sys.exc_info()[1]
        while error is not None:  # the exception being handled, and its context
            if isinstance(error, KeyboardInterrupt):
                return
            error = error.__context__
        raise KeyboardInterrupt(signal.Signals(number).name)

    numbers = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    with handlers(interrupt, *numbers):
        yield


@contextlib.contextmanager
def handlers(handler: Any, *numbers: signal.Signals) -> Iterator[None]:
    """Handle the signals ``numbers`` with ``handler`` during the body."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@contextlib.contextmanager
def defer_signals() -> Iterator[None]:
    """Defer terminating signals until the body ends. The body must not start programs.

    Blocking them is not enough. If there are other threads, such as a live display, the kernel
    delivers the signal to one of them, and Python still runs the handler in the main thread.
    """
    global _deferred
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    came: list[int] = []
    _deferred = came
    try:
        yield
    finally:
        _deferred = None
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if came:
            signal.raise_signal(came[0])
