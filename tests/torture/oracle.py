"""The bytes in use of a filesystem, by its own programs: no code of the product is asked."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

Ranges = list[tuple[int, int]]
PATIENCE = 20  # seconds for a program that reads what is damaged

RECOVER = 0x4  # s_feature_incompat
JOURNAL = 8  # its inode


class Unreadable(Exception):
    """Its programs cannot read the filesystem."""


def said(*command: str | Path, input: str = "") -> tuple[int, str]:
    """Exit code and output of a program; -1 where it does not end."""
    try:
        done = subprocess.run(
            command, input=input, capture_output=True, encoding="utf-8", errors="replace",
            timeout=PATIENCE,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return -1, ""
    return done.returncode, done.stdout + (done.stderr if done.returncode else "")


def sound(path: Path, kind: str) -> bool:
    """Return whether the checker finds no error and the journal or log is clean."""
    commands: dict[str, tuple[str | Path, ...]] = {
        "ext": ("e2fsck", "-fn", path),
        "xfs": ("xfs_repair", "-n", "-o", "force_geometry", "-f", path),
    }
    return kind not in commands or (said(*commands[kind])[0] == 0 and not pending(path, kind))


def pending(path: Path, kind: str) -> bool:
    """Return whether its journal or log has something to be replayed."""
    if kind == "xfs":
        code, text = said("xfs_logprint", "-t", path)
        return code != 0 or "state: <CLEAN>" not in text
    return kind == "ext" and _waits(path)


def block_size(path: Path) -> int:
    """Return the block size of an ext filesystem, which may be damaged."""
    with path.open("rb") as file:
        file.seek(1024 + 0x18)
        return 1024 << min(int.from_bytes(file.read(4), "little"), 6)


def _waits(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(1024 + 0x60)
        if int.from_bytes(file.read(4), "little") & RECOVER:
            return True
        blocks = journal(path)
        if not blocks:
            return False
        file.seek(blocks[0] * block_size(path) + 0x1C)  # s_start
        return file.read(4) != bytes(4)


def used(path: Path, kind: str) -> Ranges:
    """Ranges of bytes in use of a filesystem that is sound and fills its image.

    :raises Unreadable: it cannot be told
    """
    size = path.stat().st_size
    free = {"ext": _ext_free, "xfs": _xfs_free, "swap": _swap_free}[kind](path)
    position, ranges = 0, []
    for start, end in [*sorted(free), (size, size)]:
        if position < start:
            ranges.append((position, start))
        position = max(position, end)
    return ranges


def _number(text: str, name: str) -> int:
    found = re.search(rf"^{name}:? *=? *(\d+)", text, re.M)
    if not found:
        raise Unreadable(f"no {name}")
    return int(found[1])


def _ext_free(path: Path) -> Ranges:
    code, text = said("dumpe2fs", path)
    if code:
        raise Unreadable(text)
    block = _number(text, "Block size")
    cluster = _number(text, "Cluster size") // block if "Cluster size:" in text else 1
    last = _number(text, "Block count")
    free = []
    for line in re.findall(r"^  Free blocks: (.*)$", text, re.M):
        for start, end in re.findall(r"(\d+)(?:-(\d+))?", line):
            # of the last cluster its first block only is named
            until = int(end or start) // cluster * cluster + cluster
            free.append((int(start) * block, min(until, last) * block))
    free += [(number * block, (number + 1) * block) for number in journal(path)[1:]]
    return free


def journal(path: Path) -> list[int]:
    """The blocks of the journal, its superblock first, without those that map them."""
    text = said("debugfs", "-c", "-R", f"stat <{JOURNAL}>", path)[1]
    listed = text.partition("EXTENTS:")[2] or text.partition("BLOCKS:")[2]
    blocks: list[int] = []
    for start, end in re.findall(
        r"\(\d+(?:-\d+)?\):(\d+)(?:-(\d+))?", listed.partition("TOTAL")[0]
    ):
        blocks += range(int(start), int(end or start) + 1)
    return blocks


def owners(path: Path, blocks: list[int]) -> dict[int, str]:
    """Return the inode of each of these blocks of an ext filesystem, which may be damaged."""
    script = "".join(
        f"icheck {' '.join(map(str, blocks[i : i + 200]))}\n" for i in range(0, len(blocks), 200)
    )
    text = said("debugfs", "-c", "-f", "-", path, input=script)[1]
    found = re.findall(r"^(\d+)\t(\d+)$", text, re.M)
    return {int(block): inode for block, inode in found if inode != str(JOURNAL)}


def _xfs_free(path: Path) -> Ranges:
    text = _xfs_db(path, "sb 0", "p blocksize agblocks agcount")
    block, group_blocks = _number(text, "blocksize"), _number(text, "agblocks")
    free = []
    for group in range(_number(text, "agcount")):
        first = group * group_blocks
        listed = re.findall(
            r"^\s*\d+\s+(\d+)\s+(\d+)$", _xfs_db(path, f"freesp -d -a {group}"), re.M
        )
        header = _xfs_db(path, f"agf {group}", "p flfirst flcount")
        set_aside = _xfs_db(path, f"agfl {group}", "p bno")  # leaves out what is 0
        ring = {int(index): int(block) for index, block in re.findall(r"(\d+):(\d+)", set_aside)}
        last = re.search(r"\[0-(\d+)\]", set_aside)
        size = int(last[1]) + 1 if last else 1
        at, count = _number(header, "flfirst"), _number(header, "flcount")
        # freesp lists what is set aside for trees, too
        spare = {ring.get((at + i) % size) for i in range(count)}
        free += [
            ((first + int(start)) * block, (first + int(start) + int(length)) * block)
            for start, length in listed
            if not (length == "1" and int(start) in spare)
        ]
    return free


def _xfs_db(path: Path, *commands: str) -> str:
    code, text = said("xfs_db", "-r", path, input="".join(f"{c}\n" for c in commands))
    if code:
        raise Unreadable(text)
    return text.replace("xfs_db> ", "")


def _swap_free(path: Path) -> Ranges:
    """All behind the page that has the header."""
    with path.open("rb") as file:
        header = file.read(65536)
    for page in (4096, 8192, 16384, 32768, 65536):
        if header[page - 10 : page] == b"SWAPSPACE2":
            return [(page, path.stat().st_size)]
    raise Unreadable("no swap area")


def partitions(path: Path) -> list[tuple[int, int]]:
    """Bytes of the partitions as libblkid reads them; sfdisk, which we ask, uses libfdisk."""
    code, text = said("partx", "--raw", "--noheadings", "--output", "START,SECTORS", path)
    if code:
        return []
    found = [tuple(map(int, line.split())) for line in text.splitlines() if line.strip()]
    return [(start * 512, (start + count) * 512) for start, count in found]
