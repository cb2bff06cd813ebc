"""Run external programs, searching the sbin directories as well as PATH.

Every program is started here: without a shell, in English, in a session of its own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pkgutil
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from .errors import ProgramFailed, ProgramMissing
from .permissions import unsafe_reason

log = logging.getLogger(__name__)

TIME_TO_END = 10  # seconds for a program to clean up when we are interrupted
NO_MESSAGE = "no error message"
# Lines that only say where else to look: mount(8) ends with one.
HINTS = ("dmesg(1) may have more information after failed mount system call.",)


PACKAGES = {
    "blkid": "util-linux",
    "btrfs": "btrfs-progs",
    "cp": "coreutils",
    "e2fsck": "e2fsprogs",
    "fallocate": "util-linux",
    "fsck.exfat": "exfatprogs",
    "fsck.f2fs": "f2fs-tools",
    "fsck.fat": "dosfstools",
    "fstrim": "util-linux",
    "fusermount3": "fuse3",
    "gzip": "gzip",
    "losetup": "mount",
    "mount": "mount",
    "pigz": "pigz",
    "qemu-img": "qemu-utils",
    "sfdisk": "fdisk",
    "tar": "tar",
    "unshare": "util-linux",
    "virt-sparsify": "guestfs-tools",
    "wipefs": "util-linux",
    "xfs_repair": "xfsprogs",
    "zerofree": "zerofree",
}


SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # an ordinary user's PATH has none


def search_path() -> str:
    """Return PATH and the folders of the system, without folders that other users can write."""
    folders = dict.fromkeys(os.environ.get("PATH", os.defpath).split(os.pathsep))
    return os.pathsep.join(filter(_is_safe, [*folders, *SYSTEM_FOLDERS]))


def _is_safe(path: str) -> bool:
    try:
        return os.path.isabs(path) and not unsafe_reason(path)
    except OSError:
        return False


def find(program: str) -> str:
    """Return the path of ``program``, which no other user can replace.

    :raises ProgramMissing: it is not installed
    """
    if os.sep in program and shutil.which(program):
        return program
    for folder in search_path().split(os.pathsep):
        path = shutil.which(program, path=folder)
        if path and _is_safe(path):
            return path
    package = PACKAGES.get(program)
    raise ProgramMissing(f"{program}{f' (package {package})' if package else ''} is not installed")


def _environment() -> dict[str, str]:
    """Return the environment of programs: their messages are in English."""
    return {**os.environ, "LC_ALL": "C", "PATH": search_path()}


def trace(*commands: Sequence[str]) -> None:
    """Log the command lines, which are piped into each other."""
    log.debug("Executing: %s", " | ".join(map(shlex.join, commands)))


@contextlib.contextmanager
def started(
    program: str,
    *arguments: str | Path,
    stdin: IO[bytes] | int | None = subprocess.DEVNULL,
    stdout: IO[bytes] | int = subprocess.PIPE,
    stderr: IO[bytes] | int = subprocess.PIPE,
    fds: Sequence[int] = (),
    traced: bool = True,
    orphan: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start ``program`` without a shell, in a session of its own, and wait for it on leaving.

    It inherits the open files ``fds``. It is ended, with everything in its session, when the body
    fails or is interrupted; the kernel kills it when this process is killed, unless it is an
    ``orphan`` then.

    :raises ProgramMissing: it is not installed
    """
    command = [find(program), *map(str, arguments)]
    if traced:
        trace(command)
    process = subprocess.Popen(
        command if orphan else [*_end_with_parent(), *command],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=_environment(),
        pass_fds=fds,
        start_new_session=True,
    )
    try:
        yield process
        process.wait()
    except BaseException:
        try:
            _signal_session(process, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(TIME_TO_END)
        finally:  # also after a second interruption
            _signal_session(process, signal.SIGKILL)
            process.wait()
        raise
    finally:
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()


def run(
    program: str, *arguments: str | Path, fds: Sequence[int] = (), check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run ``program`` to its end as :func:`started` does; return its output, in English.

    :raises ProgramMissing: it is not installed
    :raises ProgramFailed: with ``check``, its exit status is not 0; the text has its message
    """
    with started(program, *arguments, fds=fds) as process:
        out, err = process.communicate()
    completed = subprocess.CompletedProcess(
        process.args, process.returncode, _decoded(out), _decoded(err)
    )
    if check and completed.returncode:
        raise ProgramFailed(failure(program, completed))
    return completed


def run_with_descendants(program: str, *arguments: str | Path) -> None:
    """Run ``program``, and end everything it started, in other sessions too, when we end.

    It gets paths of our open files by :func:`file_of_ours`; it inherits none.

    :raises ProgramMissing: it is not installed
    :raises ProgramFailed: its exit status is not 0
    """
    command = [find(program), *map(str, arguments)]
    trace(command)
    source = pkgutil.get_data(__package__, "supervisor.py")
    assert source
    alive, ours = os.pipe()
    supervisor = (sys.executable, "-I", "-S", "-c", source.decode(), str(alive))
    try:
        with started(*supervisor, *command, fds=[alive], traced=False, orphan=True) as process:
            os.close(alive)
            out, err = process.communicate()
    finally:
        os.close(ours)
    if process.returncode:
        completed = subprocess.CompletedProcess(
            command, process.returncode, _decoded(out), _decoded(err)
        )
        raise ProgramFailed(failure(program, completed))


def failure(program: str, completed: subprocess.CompletedProcess[str]) -> str:
    """Return ``PROGRAM failed (STATUS): MESSAGE`` with the last line that the program printed."""
    text = last_line(completed.stderr or completed.stdout)
    return f"{Path(program).name} failed ({completed.returncode}): {text}"


def _decoded(output: bytes) -> str:
    return output.decode(errors="replace")


def _end_with_parent() -> list[str]:
    """Return the beginning of a command line that ends with this process, by setpriv(1)."""
    with contextlib.suppress(ProgramMissing):
        return [find("setpriv"), "--pdeathsig", "KILL", "--"]
    return []


def _signal_session(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to ``process``, the leader of its session, and to everything in it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def same_file(fd: int) -> str:
    """Return a path of the open file that survives renaming, for a program that inherits it."""
    return f"/proc/self/fd/{fd}"


def file_of_ours(fd: int) -> str:
    """Return a path of our open file for a program that does not inherit it."""
    return f"/proc/{os.getpid()}/fd/{fd}"


def first_line(text: str) -> str:
    """Return the first line of a program's output."""
    return text.partition("\n")[0].strip() or NO_MESSAGE


def last_line(text: str) -> str:
    """Return the last line of a program's output: most often the one with the cause."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.endswith(HINTS)] or lines
    return lines[-1] if lines else NO_MESSAGE
