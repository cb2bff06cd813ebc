"""Blocks of an image that are allocated and could be holes, found without the package.

Whatever the package knows is asked for in another way here: e2fsprogs tell what is free and where
the journal lies, each block is looked at by itself, and filefrag tells what is allocated.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.unable import unable

HOST_BLOCK = 4096  # asserted in :func:`wasted`


def _ask(image: Path, offset: int, *commands: str) -> str:
    name = f"{image}?offset={offset}" if offset else str(image)
    done = subprocess.run(
        ["debugfs", "-f", "-", name],
        input="".join(f"{command}\n" for command in commands),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def unneeded(image: Path, offset: int = 0) -> list[tuple[int, int]]:
    """Byte ranges of the image that the ext filesystem at ``offset`` calls free, and those of its
    journal but for the first block; unsorted.

    By debugfs's ``testb``: what dumpe2fs prints of bigalloc is wrong.
    """
    text = _ask(image, offset, "show_super_stats -h")
    first, count, block = (
        int(value)
        for name in ("First block", "Block count", "Block size")
        for value in re.findall(rf"^{name}: +(\d+)$", text, re.M)
    )
    # block 0 cannot be asked for; it is never free
    first = max(first, 1)
    commands = [f"testb {first} {count - first}"]
    if " has_journal " in text:
        commands.append("stat <8>")
    text = _ask(image, offset, *commands)
    assert len(re.findall(r"^Block \d+ ", text, re.M)) == count - first
    free = [int(number) for number in re.findall(r"^Block (\d+) not in use$", text, re.M)]
    # "(IND):20, (12-267):21-276" and "(ETB0):20, (0-1023):21-1044": only what has numbers
    log: list[int] = []
    for logical, start, end in re.findall(r"\((\d+)(?:-\d+)?\):(\d+)(?:-(\d+))?", text):
        log += range(int(start) + (logical == "0"), int(end or start) + 1)
    return [(offset + number * block, offset + (number + 1) * block) for number in [*free, *log]]


def allocated(image: Path) -> list[int]:
    """The blocks of the image that take space where it lies, as filefrag tells."""
    done = subprocess.run(
        ["filefrag", "-s", "-v", f"-b{HOST_BLOCK}", image], capture_output=True, text=True
    )
    if "FIBMAP" in done.stderr or done.returncode:
        unable(f"filefrag cannot list extents here: {done.stderr.strip()}")
    runs = re.findall(r"^ *\d+: +(\d+)\.\. +(\d+): ", done.stdout, re.M)
    assert len(runs) == done.stdout.count("\n") - 4 or not runs, done.stdout
    return [block for start, end in runs for block in range(int(start), int(end) + 1)]


def wasted(image: Path, *offsets: int) -> list[int]:
    """The numbers of the blocks that are allocated, and hold nothing but zeros, free blocks of the
    filesystems at ``offsets`` and the logs of their journals."""
    if os.statvfs(image).f_frsize != HOST_BLOCK:
        unable(f"tests want blocks of {HOST_BLOCK} bytes below them")
    content = bytearray(image.read_bytes())
    for offset in offsets:
        for start, end in unneeded(image, offset):
            content[start:end] = bytes(end - start)
    zeros = bytes(HOST_BLOCK)
    return [
        number
        for number in allocated(image)
        for block in [content[number * HOST_BLOCK : (number + 1) * HOST_BLOCK]]
        if block == zeros[: len(block)]
    ]


def assert_nothing_wasted(image: Path, *offsets: int) -> None:
    found = wasted(image, *offsets)
    if found:
        pytest.fail(f"{len(found)} blocks allocated that could be holes: {found[:20]}")
