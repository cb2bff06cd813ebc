"""Work on many cases at once, each in a process of its own, none of which can hang."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from typing import NamedTuple, TypeVar

Case = TypeVar("Case")
Result = TypeVar("Result")

_fork = multiprocessing.get_context("fork")


class Broken(NamedTuple):
    """A case that gave no result: a traceback, or ``hung``."""

    text: str
    hung: bool = False


class _Running(NamedTuple):
    process: multiprocessing.process.BaseProcess
    pipe: Connection
    case: object
    until: float


def spread(
    cases: Iterable[Case], work: Callable[[Case], Result], *, workers: int, limit: float
) -> Iterator[tuple[Case, Result | Broken]]:
    """Do ``work`` on each case, and yield it with the result, in the order in which they end.

    Each runs in a process forked for it, the first of a session of its own, which is killed with
    all that it has started after ``limit`` seconds.
    """
    running: list[_Running] = []
    waiting = iter(cases)
    try:
        while True:
            while len(running) < workers:
                try:
                    case = next(waiting)
                except StopIteration:
                    break
                running.append(_start(case, work, limit))
            if not running:
                return
            patience = max(min(r.until for r in running) - time.monotonic(), 0)
            ready = wait([r.pipe for r in running], timeout=patience)
            now = time.monotonic()
            for one in list(running):
                if one.pipe in ready:
                    running.remove(one)
                    yield one.case, _end(one)  # type: ignore[misc]
                elif one.until <= now:
                    running.remove(one)
                    _kill(one)
                    yield one.case, Broken(f"after {limit:.0f} s", hung=True)  # type: ignore[misc]
    finally:
        for one in running:
            _kill(one)


def _start(case: Case, work: Callable[[Case], Result], limit: float) -> _Running:
    ours, theirs = _fork.Pipe(duplex=False)

    def body() -> None:
        ours.close()  # or nobody would notice that the other end is gone
        os.setsid()
        try:
            result: object = work(case)
        except BaseException:
            result = Broken(traceback.format_exc())
        theirs.send(result)

    process = _fork.Process(target=body)
    process.start()
    theirs.close()
    return _Running(process, ours, case, time.monotonic() + limit)


def _end(one: _Running) -> object:
    try:
        result: object = one.pipe.recv()
    except EOFError:
        one.process.join()
        result = Broken(f"ended by {one.process.exitcode}")
    one.process.join()
    one.pipe.close()
    return result


def _kill(one: _Running) -> None:
    pid = one.process.pid
    assert pid
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    one.process.join()
    one.pipe.close()
