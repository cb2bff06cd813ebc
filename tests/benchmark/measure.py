"""Run commands one after another, a ";" between two, or at once, a "&" between, and print what
they took together:

seconds, bytes read, peak memory in bytes, and the least of it that could have been told.
A process of its own, and run with -I -S to keep it small: for the kernel a child's memory begins
with that of the parent which started it.
"""

from __future__ import annotations

import os
import sys
import time


def _read() -> int:
    """Bytes read by system calls, those of children that have ended and their children's too."""
    with open("/proc/self/io") as file:
        return int(file.readline().split()[1])  # rchar, proc_pid_io(5)


def _own_peak() -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:")) << 10


def _run(commands: list[list[str]]) -> int:
    """Peak memory of the largest process of commands that run at once."""
    silent = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1)]
    pids = {
        os.posix_spawnp(command[0], command, os.environ, file_actions=silent): command[0]
        for command in commands
    }
    peak = 0
    failures = []
    for pid, name in pids.items():
        _, status, usage = os.wait4(pid, 0)
        if status != 0:
            failures.append(f"{name}: exit code {os.waitstatus_to_exitcode(status)}")
        peak = max(peak, usage.ru_maxrss << 10)
    if failures:
        sys.exit("; ".join(failures))
    return peak


def main() -> None:
    steps: list[list[list[str]]] = [[[]]]
    for word in sys.argv[1:]:
        if word == ";":
            steps.append([[]])
        elif word == "&":
            steps[-1].append([])
        else:
            steps[-1][-1].append(word)
    read = _read()
    start = time.perf_counter()
    peak = max([_run(commands) for commands in steps])
    seconds = time.perf_counter() - start
    print(seconds, _read() - read, peak, _own_peak())


main()
