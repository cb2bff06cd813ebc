"""Images for the guards, by real tools, and the judgement over them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bootstrapvz_sparse.image import extents
from bootstrapvz_sparse.image.blkid import signature
from bootstrapvz_sparse.image.guards import Suspect, Verdict, judge
from bootstrapvz_sparse.image.view import FileMap, window
from tests.support.unable import unable

MIB = 1 << 20
ROOT = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"  # of x86-64
ROOT_VERITY = "2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5"
LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"


class Part(NamedTuple):
    """A partition of ``size`` bytes from the byte ``start``."""

    start: int
    size: int
    type_code: str = LINUX


def need(*programs: str) -> None:
    """Skip the test where a program is not installed."""
    for program in programs:
        if shutil.which(program) is None:
            unable(f"{program} is not installed")


def run(*command: object, check: bool = True, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program."""
    return subprocess.run(
        [str(word) for word in command], check=check, capture_output=True, text=True, input=text
    )


def blank(path: Path, size: int) -> Path:
    """Make a file of ``size`` zeros without blocks."""
    with path.open("xb") as file:
        file.truncate(size)
    return path


def place(image: Path, source: Path, offset: int) -> None:
    """Copy what the file has into the image."""
    with image.open("r+b") as file, source.open("rb") as data:
        size = os.fstat(data.fileno()).st_size
        for start, end in extents.data(data.fileno(), size):
            os.pwrite(file.fileno(), os.pread(data.fileno(), end - start, start), offset + start)


def gpt(image: Path, *parts: Part) -> None:
    """Write a GPT."""
    lines = [f"start={p.start // 512}, size={p.size // 512}, type={p.type_code}" for p in parts]
    run("sfdisk", "--quiet", image, text="\n".join(["label: gpt", *lines]))


def judged(image: Path, *parts: Part, dirty: Sequence[str] = ()) -> Verdict:
    """Judge the image with these partitions, or as a whole filesystem without any."""
    with image.open("rb") as file:
        fd = file.fileno()
        size = os.fstat(fd).st_size
        whole = FileMap(fd, size)
        disk = signature(fd, 0, size)
        suspects = []
        for number, part in enumerate(parts or [Part(0, size, "")], start=1 if parts else 0):
            found = signature(fd, part.start, part.start + part.size)
            suspects.append(
                Suspect(
                    number,
                    window(whole, part.start, part.start + part.size),
                    kind=found.type,
                    type_code=part.type_code,
                    ambivalent=found.ambivalent,
                    table=found.table,
                    dirty=dict(enumerate(dirty, start=1)).get(number, ""),
                )
            )
        return judge(whole, fd, suspects, disk)
