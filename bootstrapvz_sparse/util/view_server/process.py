"""System calls of Linux, and processes that end with their parent."""

from __future__ import annotations

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LIBC = ctypes.CDLL(None, use_errno=True)


class Unavailable(Exception):
    """The file cannot be shown in one way; the text says why."""


def system_call(name: str, number: int, *arguments: object) -> int:
    """Call the function ``name`` of the C library, or the system call if there is no function.

    :raises OSError: it fails; ``filename`` is ``name``
    """
    function = getattr(LIBC, name, None)
    result = int(function(*arguments) if function else LIBC.syscall(number, *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)
    return result


def end_with(parent: int) -> None:
    """Have this process killed when the process ``parent`` ends: PR_SET_PDEATHSIG(2const)."""
    LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it has already ended
        os._exit(1)


def start(command: list[str], path: str, keep: tuple[int, ...] = ()) -> tuple[int, int]:
    """Start ``command`` with ``@`` replaced by ``path``.

    Return its process, and a pipe that is closed when it has ended. ``keep`` are open files that
    it inherits.
    """
    ended, held = os.pipe()
    parent = os.getpid()
    process = os.fork()
    if process == 0:
        try:
            end_with(parent)
            for fd in (held, *keep):
                os.set_inheritable(fd, True)
            arguments = [path if part == "@" else part for part in command]
            os.execv(command[0], arguments)  # nosec B606
        finally:
            os._exit(127)
    os.close(held)
    return process, ended


def status_of(process: int) -> int:
    """Wait for ``process`` and return its exit status, as a shell reports it."""
    status = os.waitpid(process, 0)[1]
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
