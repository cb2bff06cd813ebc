"""The filesystems' own checkers, run read-only on a :class:`.view.Map`."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable
from typing import NamedTuple

from ..util import programs
from ..util.errors import CheckUnavailable, ProgramMissing
from . import on_view, unclean
from .view import Map

NO_VERDICT = (ProgramMissing, CheckUnavailable)  # raised where a checker cannot run


CANNOT_START = (126, 127)  # exit statuses of shells and of the dynamic linker


class Checker(NamedTuple):
    """A filesystem's checker, with the rules for interpreting its output.

    ``command``: ``@`` stands for the path of the filesystem. ``progress`` matches the beginnings of
    lines that report no damage; ``damage`` matches lines that report damage even if the exit status
    is 0, with our text for each, or "". ``clean`` matches the output for every clean filesystem.
    ``unclean`` finds signs of damage that the program tolerates. ``offset`` is appended to the path
    of an image to give the start of the filesystem, if the program supports that. ``retry``: a text
    in the output, and the options for a second run.
    """

    command: tuple[str, ...]
    progress: str
    damage: tuple[tuple[str, str], ...] = ()
    clean: str = ""
    unclean: Callable[[Map], str | None] = lambda where: None
    offset: str = ""
    retry: tuple[str, tuple[str, ...]] = ("", ())


class Verdict(NamedTuple):
    """The result of a check: ``complaint`` is one line, None if the filesystem is clean.

    ``findings`` are all lines that report damage. Verdicts are compared by both.
    """

    complaint: str | None
    findings: frozenset[str] = frozenset()


_EXT = Checker(
    ("e2fsck", "-f", "-n", "@"),
    progress=r"e2fsck \d|Pass \d|Warning: skipping journal|[^:]*: \d+/\d+ files|.*still has errors"
    r"|(Fix|Clear|IGNORED)\b",
    unclean=unclean.ext,
    offset="?offset={}",
)
CHECKERS = {
    "ext2": _EXT,
    "ext3": _EXT,
    "ext4": _EXT,
    "xfs": Checker(
        ("xfs_repair", "-n", "@"),
        progress=r"Phase \d|\s+- |No modify flag set|Cannot get host filesystem|Repair may fail"
        r"|the image and the host|ignored because the -n|which may be resolved|attempting to find"
        r"|\.*(found candidate|verified) secondary|Exiting now|would write modified"
        r"|(Primary superblock|Log) would have been|Cannot proceed further",
        damage=((r"ALERT: .* changes in a log", "its log has to be replayed"),),
        retry=("Only one AG detected", ("-o", "force_geometry")),
    ),
    "btrfs": Checker(
        ("btrfs", "check", "--readonly", "@"),
        progress=r"\[\d/\d\]|Opening filesystem|Checking filesystem|UUID: |found \d+ bytes used"
        r"|total .* bytes: |btree space waste|file data blocks| referenced |Csum didn't match"
        r"|ERROR: cannot open file system",
        clean=r"no error found",
        unclean=unclean.btrfs,
    ),
    "vfat": Checker(
        ("fsck.fat", "-n", "@"),
        progress=r"fsck\.fat \d|Leaving filesystem unchanged|[^:]*: \d+ files|  Using first FAT"
        r"| Automatically removing dirty bit|/",  # "/": a file; the next line has its damage
        unclean=unclean.vfat,
    ),
    "exfat": Checker(
        ("fsck.exfat", "-n", "@"),
        progress=r"exfatprogs version|.*: clean\.",
        clean=r": clean\.",
        unclean=unclean.exfat,
    ),
    "f2fs": Checker(
        ("fsck.f2fs", "--dry-run", "@"),
        progress=r"Info: |\s*(from |to )?\"Linux|\[FSCK\].*(\[Ok\.\.\]|Max image|fixing SIT)|Done: "
        r"|Do you want|NID\[",
        damage=((r".*(\[Fail\]|\[ASSERT\]|Mismatch|Can't find|Invalid)", ""),),
        # linux/f2fs_fs.h: CP_UMOUNT_FLAG without CP_ORPHAN_PRESENT_FLAG, CP_ERROR_FLAG and
        # CP_FSCK_FLAG: an odd last digit below 8, and without 2; an even one before it
        clean=r"checkpoint state = ([0-9a-f]*[02468ace])?[15] :",
    ),
}

# Differs from run to run: the path of the filesystem, and addresses in the program.
_PATH = re.compile(r"/proc/self/fd/\d+(\?offset=\d+)?|/dev/loop\d+|/\S*/bvz-sparse\.\w+/filesystem")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+(?=,)")
_ANSWER = re.compile(r"\s+[A-Z][\w ]*( \(y/N\))?\? no?$")  # to a question that -n answers


def check(where: Map, kind: str, fd: int) -> Verdict:
    """Run the checker for a ``kind`` of filesystem, as blkid(8) names it, on the map.

    ``fd`` is the image behind the map. Nothing is written. A checker that cannot run does not count
    as agreement: see :data:`NO_VERDICT`.

    :raises ProgramMissing: the checker is not installed
    :raises CheckUnavailable: no checker is known, or the filesystem cannot be shown to it
    :raises OSError: the image cannot be read
    """
    checker = CHECKERS.get(kind)
    if checker is None:
        raise CheckUnavailable(f"there is no checker for {kind or 'an unknown filesystem'}")
    program, *arguments = checker.command
    try:
        reason = checker.unclean(where)
    except OSError as error:
        reason = f"its metadata cannot be read: {error.strerror}"
    result = on_view.run(where, fd, program, *arguments, offset=checker.offset)
    text, options = checker.retry
    if text and text in result.stderr:
        result = on_view.run(where, fd, program, *options, *arguments, offset=checker.offset)
    if result.returncode in CANNOT_START:
        raise CheckUnavailable(f"{program}: {programs.last_line(result.stderr)}")
    verdict = judge(checker, result)
    if reason:
        return Verdict(f"{kind}: {reason}", verdict.findings | {reason})
    return verdict


def judge(checker: Checker, result: subprocess.CompletedProcess[str]) -> Verdict:
    """Return the verdict expressed by the output of ``checker``."""
    lines = (result.stdout + result.stderr).splitlines()
    damage = [
        text or _plain(line)
        for line in lines
        for pattern, text in checker.damage
        if re.match(pattern, line)
    ]
    confirmed = re.search(checker.clean, result.stdout + result.stderr)
    if result.returncode == 0 and not damage and confirmed:
        return Verdict(None)
    findings = [_plain(line) for line in lines if line.strip() and not _is_progress(checker, line)]
    if damage:
        first = damage[0]
    elif findings:
        first = findings[0]
    elif result.returncode:
        first = _ending(result.returncode)
    else:
        first = "does not say that the filesystem is clean"
    return Verdict(f"{checker.command[0]}: {first}", frozenset([first, *findings]))


def _is_progress(checker: Checker, line: str) -> bool:
    return re.match(checker.progress, line) is not None


def _plain(line: str) -> str:
    """Return a line without paths, addresses and answers."""
    return _ANSWER.sub("", _ADDRESS.sub("", _PATH.sub("the filesystem", line.strip())))


def _ending(status: int) -> str:
    number = -status if status < 0 else status - 128
    try:
        return f"ended by {signal.Signals(number).name}"
    except ValueError:
        return f"ended with status {status}"
