"""A used filesystem in a file: files written and deleted, one of zeros."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

from tests.support.e2fsprogs import debugfs
from tests.support.mounting import mounted

MIB = 1 << 20
ZEROS = 8 * MIB


def make_used(kind: str, folder: Path, size: int) -> tuple[Path, dict[str, bytes]]:
    """The image below ``folder``, and its files with what they hold."""
    chance = random.Random(1)
    with mounted(kind, folder, size) as inside:
        files = {f"f{i}": chance.randbytes(chance.randrange(1, 2 * MIB)) for i in range(20)}
        files["zeros"] = bytes(ZEROS)
        for name, content in files.items():
            (inside / name).write_bytes(content)
        os.sync()  # or nothing of the files to be deleted would reach the image
        for name in list(files)[:20:2]:
            (inside / name).unlink()
            del files[name]
    return folder / f"image-{kind}", files


def assert_holds(image: Path, files: dict[str, bytes], scratch: Path) -> None:
    """The ext filesystem in the image is sound, and its files are those."""
    subprocess.run(["e2fsck", "-fn", image], check=True, capture_output=True)
    back = scratch / "back"
    back.mkdir()
    debugfs(image, *(f"dump {name} {back / name}" for name in files))
    assert {name: (back / name).read_bytes() for name in files} == files
