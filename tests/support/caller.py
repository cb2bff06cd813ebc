"""Resetting the state that tests inherit from their caller: signals, environment, umask, mounts."""

from __future__ import annotations

import ctypes
import fnmatch
import functools
import os
import re
import signal
import tempfile

from bootstrapvz_sparse.util.programs import search_path

# Change the output of programs, or what they read and write.
UNWANTED = (
    *("BASH_ENV", "CDPATH", "CLICOLOR*", "COLORTERM", "COLUMNS", "ENV", "FORCE_COLOR", "GIT_*"),
    *("LANGUAGE", "LC_*", "LINES", "MAKE*", "MFLAGS", "MKE2FS_*", "NO_COLOR", "POSIXLY_CORRECT"),
    *("PYTHONUNBUFFERED", "PYTHONUTF8", "PYTHONWARNINGS", "SOURCE_DATE_EPOCH", "TAR_OPTIONS"),
    *("TTY_*", "XDG_*"),
)
TEMPORARY = tempfile.gettempdir()
CLONE_NEWNS, MS_REC, MS_SLAVE, MNT_DETACH = 0x20000, 0x4000, 0x80000, 2


def reset() -> None:
    """Reset signals, environment and umask of this process and so of its children."""
    reset_signals()
    reset_environment()
    os.umask(0o022)


def reset_signals() -> None:
    """Set Python's own handlers and unblock all signals.

    A shell lets its background jobs ignore SIGINT, and every child would inherit that.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        # still ignored here, as nohup(1) wants it; execve(2) resets it for children
        signal.signal(signal.SIGHUP, lambda number, frame: None)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as Python does; subprocess resets it
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def reset_environment() -> None:
    """Remove :data:`UNWANTED` variables; set PATH, the locale, TERM and, if there is none, HOME."""
    for name in list(os.environ):
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in UNWANTED):
            del os.environ[name]
    # sbin too, where mkfs and losetup are
    os.environ.update(PATH=search_path(), LANG="C.UTF-8", LC_ALL="C.UTF-8", TERM="xterm")
    if not os.access(os.environ.get("HOME", ""), os.W_OK):
        os.environ["HOME"] = _home().name


@functools.cache
def _home() -> tempfile.TemporaryDirectory[str]:
    """Make a home folder, which is removed when this process ends."""
    return tempfile.TemporaryDirectory(prefix="home-")


def separate_mounts() -> None:
    """Move this process into its own mount namespace, if it is allowed to.

    A namespace copies all mounts and keeps their loop devices busy: tests that run at the same
    time must not do that to each other.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        return
    # fails where / is not a mount point, as in a chroot: propagation stays as it was there
    libc.mount(b"none", b"/", None, MS_REC | MS_SLAVE, None)
    with open("/proc/self/mounts", "rb") as mounts:
        lines = mounts.read().splitlines()
    for device, point, *_ in map(bytes.split, reversed(lines)):
        path = re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), point)
        if device.startswith(b"/dev/loop") and path.startswith(os.fsencode(f"{TEMPORARY}/")):
            libc.umount2(path, MNT_DETACH)
