"""Running the programs of others: found also where an ordinary user's PATH does not lead."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from .errors import ProgramFailed, ProgramMissing
from .permissions import unsafe_reason

TIME_TO_END = 10  # seconds that a program gets to clean up when we are interrupted


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
    "xfs_repair": "xfsprogs",
    "zerofree": "zerofree",
}


SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # that sudo, su and cron leave out


def search_path() -> str:
    """Return PATH and the folders of the system, without those that other users can write."""
    folders = dict.fromkeys(os.environ.get("PATH", os.defpath).split(os.pathsep))
    return os.pathsep.join(filter(_is_safe, [*folders, *SYSTEM_FOLDERS]))


def _is_safe(path: str) -> bool:
    try:
        return os.path.isabs(path) and not unsafe_reason(path)
    except OSError:
        return False


def find(program: str) -> str:
    """Return the path of ``program``, which nobody else can replace.

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


trace: Callable[[str], object] | None = None  # is told each command that is run


def tell(*commands: Sequence[str]) -> None:
    """Tell ``trace``, if anybody asked for it, that these commands are run, one into the next."""
    if trace:
        trace(f"Executing: {' | '.join(map(shlex.join, commands))}")


def run(
    program: str, *arguments: str | Path, fds: Sequence[int] = ()
) -> subprocess.CompletedProcess[str]:
    """Run ``program``, without a shell, and wait; what it says is in English and decoded.

    ``fds`` are the open files that it inherits. When we are interrupted, the program is ended,
    with all that it has started, before the interruption goes on; when we are killed, it is, too.

    :raises ProgramMissing: it is not installed
    """
    command = [find(program), *map(str, arguments)]
    tell(command)
    process = subprocess.Popen(
        [*_ending_with_us(), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=_environment(),
        pass_fds=fds,
        start_new_session=True,  # so that what it starts can be ended with it
    )
    try:
        out, err = process.communicate()
    except BaseException:
        try:
            _signal_all(process, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=TIME_TO_END)
        finally:  # also when we are interrupted once more
            _signal_all(process, signal.SIGKILL)
            process.communicate()
        raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def pipe(first: Sequence[str], second: Sequence[str], output: int) -> None:
    """Run ``first | second`` without a shell, into the open file ``output``.

    When we are interrupted or one of them fails, both are ended.

    :raises ProgramMissing: one of them is not installed
    :raises ProgramFailed: one of them fails
    """
    env = _environment()
    commands = [[*_ending_with_us(), find(command[0]), *command[1:]] for command in (first, second)]
    tell(first, second)
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            commands[0], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, env=env
        ) as source,
    ):
        assert source.stdout
        try:
            with subprocess.Popen(
                commands[1], stdin=source.stdout, stdout=output, stderr=said, env=env
            ) as sink:
                source.stdout.close()  # so that the first ends when the second does
                try:
                    sink.wait()
                except BaseException:
                    sink.kill()
                    raise
            source.wait()
        except BaseException:
            source.kill()
            raise
        said.seek(0)
        text = said.read().decode(errors="replace")
        for command, status in ((second, sink.returncode), (first, source.returncode)):
            if status:
                raise ProgramFailed(f"{command[0]} failed ({status}): {last_line(text)}")


def _ending_with_us() -> list[str]:
    """What a command line begins with, so that the program ends when we are killed: setpriv(1)."""
    with contextlib.suppress(ProgramMissing):
        return [find("setpriv"), "--pdeathsig", "KILL", "--"]
    return []


def _signal_all(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Send a signal to ``process``, the first of its session, and to all in it."""
    with contextlib.suppress(ProcessLookupError):  # none is left
        os.killpg(process.pid, number)


def same_file(fd: int) -> str:
    """A path of the open file that no renaming changes, for a program that inherits ``fd``."""
    return f"/proc/self/fd/{fd}"


def first_line(text: str) -> str:
    """The first line that a program said."""
    return text.partition("\n")[0].strip() or "it does not say why"


def last_line(text: str) -> str:
    """The last line that a program said: most often the one with the cause."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it does not say why"
