"""Signals that end us, and what of us they may not interrupt."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from bootstrapvz_sparse.util.signals import (
    ENDING,
    defer_signals,
    handlers,
    interrupt_once,
)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", ENDING)
def test_the_first_one_interrupts(number: signal.Signals) -> None:
    with handlers(signal.SIG_DFL, *ENDING), interrupt_once():
        for _ in range(2):  # the next one that comes when all of it is done is a first one again
            undone = False
            with pytest.raises(KeyboardInterrupt, match=number.name):
                try:
                    send(number)
                except KeyboardInterrupt as error:
                    send(number)
                    try:
                        raise OSError from error
                    except OSError:
                        send(signal.SIGTERM)
                    undone = True
                    raise
                finally:
                    send(signal.SIGINT)
            assert undone


def test_other_errors_are_interrupted() -> None:
    with (
        handlers(signal.SIG_DFL, *ENDING),
        interrupt_once(),
        pytest.raises(KeyboardInterrupt),
    ):
        try:
            raise OSError
        except OSError:
            send(signal.SIGTERM)


def test_what_was_ignored_before_is_ignored() -> None:
    """As by nohup(1), and in the background of a shell."""
    with handlers(signal.SIG_IGN, signal.SIGHUP, signal.SIGINT), interrupt_once():
        send(signal.SIGHUP)
        send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
            send(signal.SIGTERM)


def test_held_back() -> None:
    done = False
    with (
        handlers(signal.SIG_DFL, *ENDING),
        interrupt_once(),
        pytest.raises(KeyboardInterrupt),
        defer_signals(),
    ):
        send(signal.SIGTERM)
        done = True
    assert done


def test_held_back_from_all_threads() -> None:
    """The kernel hands a signal of the process to any thread that does not block it."""
    end, done = threading.Event(), False
    other = threading.Thread(target=end.wait)
    other.start()
    try:
        with (
            handlers(signal.SIG_DFL, *ENDING),
            interrupt_once(),
            pytest.raises(KeyboardInterrupt, match="SIGTERM"),
            defer_signals(),
        ):
            send(signal.SIGTERM)
            time.sleep(0.1)
            done = True
    finally:
        end.set()
        other.join()
    assert done
