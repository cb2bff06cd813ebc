"""Run a command, and end all of its descendants when the requesting process ends.

A separate script for :func:`.programs.run_with_descendants`: if its parent is killed, it survives
long enough to kill the descendants. Arguments: the read end of a pipe that the parent holds open,
and the command. Source: prctl(2), PR_SET_CHILD_SUBREAPER.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
TIME_TO_END = 5  # seconds for the command after SIGTERM


def main(alive: int, command: list[str]) -> int:
    """Run ``command`` until it ends, the pipe is closed, or SIGTERM comes; return its status."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    terminated, wake = os.pipe()
    signal.signal(signal.SIGTERM, lambda number, frame: os.close(wake))
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    ended = os.pidfd_open(process.pid)
    ready = select.select([ended, alive, terminated], [], [])[0]
    if ended not in ready and terminated in ready:  # the whole session got the signal
        select.select([ended], [], [], TIME_TO_END)
    status = process.poll()
    kill_descendants()
    return 128 + signal.SIGKILL if status is None else status if status >= 0 else 128 - status


def kill_descendants() -> None:
    """Kill every child until none is left: orphaned descendants become children of this process."""
    while children := [pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc")))
                       if _parent(pid) == os.getpid()]:  # fmt: skip
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _parent(pid: int) -> int:
    """Return the parent's process id, proc_pid_stat(5); 0 if the process has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
