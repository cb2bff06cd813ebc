"""Repairs of code that breaks on Python 3 and that the translation cannot fix."""

from __future__ import annotations

import logging
import operator
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from ..registry import repair


@repair("bootstrapvz.common.releases", fork_too=False)
def compare_releases(module: Any) -> None:
    """Compare releases: Python 3 never calls ``__cmp__``."""
    _compare_by_cmp(module._Release, "lt", "le", "eq", "ne", "ge", "gt")


@repair("bootstrapvz.base.phase", fork_too=False)
def compare_phases(module: Any) -> None:
    """Compare phases: Python 3 never calls ``__cmp__``."""
    # not "eq": each phase is one object, and the task graph often compares identities
    _compare_by_cmp(module.Phase, "lt", "le", "ge", "gt")


def _compare_by_cmp(cls: Any, *names: str) -> None:
    def comparison(test: Callable[[int, int], bool]) -> Callable[[Any, Any], Any]:
        def method(self: Any, other: Any) -> Any:
            return test(self.__cmp__(other), 0) if isinstance(other, cls) else NotImplemented

        return method

    for name in names:
        setattr(cls, f"__{name}__", comparison(getattr(operator, name)))


@repair("bootstrapvz.common.bytes", "bootstrapvz.common.sectors", fork_too=False)
def divide_units(module: Any) -> None:
    """Divide and hash sizes: ``/`` calls ``__truediv__``; ``__eq__`` alone disables hashing."""
    cls = getattr(module, "Sectors", module.Bytes)
    cls.__truediv__, cls.__itruediv__ = cls.__floordiv__, cls.__ifloordiv__
    cls.__hash__ = object.__hash__


@repair("bootstrapvz.common.tools", fork_too=True)
def edit_any_text(module: Any) -> None:
    """Edit text in any encoding: fileinput accepts only UTF-8, and on failure keeps our stdout."""

    def replace(file_path: str, pattern: str, subst: str) -> int:
        text = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
        with open(file_path, **text) as file:  # type: ignore[call-overload]
            lines = [re.subn(pattern, subst, line) for line in file]
        with open(file_path, "w", **text) as file:  # type: ignore[call-overload]
            file.writelines(line for line, _ in lines)
        return sum(count for _, count in lines)

    module.inline_replace = replace


@repair("bootstrapvz.common.tools", fork_too=True)
def run_programs(module: Any) -> None:
    """Read output as text: bytes never equal ``''``, so reading never ends.

    On Ctrl-C the program is ended, with everything it started.
    """

    def call(
        command: Sequence[str] | str,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
        shell: bool = False,
        cwd: str | None = None,
    ) -> tuple[int, list[str], list[str]]:
        program = os.path.realpath(command[0]).replace("/", ".")
        log = logging.getLogger(module.__name__ + program)
        shown = command if isinstance(command, str) else " ".join(command)
        log.debug("Executing: %s", shown)
        # a new session: only we get Ctrl-C, and then end everything that the command started
        # a shell is asked for by bootstrap-vz's plugin "commands"
        process = subprocess.Popen(  # nosec B602
            command,
            env=env,
            shell=shell,
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        assert process.stdin and process.stdout and process.stderr
        stdout: list[str] = []
        stderr: list[str] = []
        try:
            readers = [
                threading.Thread(target=_read, args=arguments, daemon=True)
                for arguments in (
                    (process.stdout, stdout, log.debug),
                    (process.stderr, stderr, log.error),
                )
            ]
            for reader in readers:
                reader.start()
            if stdin is not None:
                log.debug("  stdin: %s", stdin)
                process.stdin.write(stdin + "\n")
            process.stdin.close()
            for reader in readers:
                reader.join()
            return process.wait(), stdout, stderr
        except BaseException:
            _end_session(process)
            raise

    module.log_call = call


def _read(stream: IO[str], lines: list[str], log: Callable[..., None]) -> None:
    """Log the lines of ``stream``, append them to ``lines``, and close it."""
    with stream:
        for line in stream:
            lines.append(line.strip())
            log("%s", lines[-1])


def _end_session(process: subprocess.Popen[str], patience: float = 10) -> None:
    """Terminate all processes of the session; kill those left after ``patience`` seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
