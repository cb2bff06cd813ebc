"""The records of filesystems against mkfs and blkid. Needs no root."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bootstrapvz_sparse.image import sparsify
from bootstrapvz_sparse.image.filesystems import KINDS, find_free_space
from bootstrapvz_sparse.image.view import FileMap

PROGRAMS = {program: kind for kind in KINDS.values() for program in kind.mkfs}
OPTIONS = {"mke2fs": ["-q", "-F"], "mkfs.xfs": ["-q", "-f"], "mkfs.f2fs": ["-q", "-f"]}
SIZE = 320 << 20  # the least that mkfs.xfs takes is 300 MiB


def make(program: str, path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(SIZE)
    path.chmod(0o600)  # mkswap warns otherwise
    command = [program, *OPTIONS.get(program, []), path]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("program", PROGRAMS)
def test_blkid_names_one_of_its_types(program: str, tmp_path: Path) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not there")
    image = tmp_path / "image"
    make(program, image)
    command = ["blkid", "--probe", "--match-tag", "TYPE", "--output", "value", image]
    type = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    kind = PROGRAMS[program]
    assert type in kind.types
    if kind.reader:
        with image.open("rb") as file:
            assert any(find_free_space(type, FileMap(file.fileno(), SIZE)))


@pytest.mark.parametrize("signature", [b"S1SUSPEND\0", b"S2SUSPEND\0", b"ULSUSPEND\0"])
def test_a_hibernated_guest_keeps_its_memory(signature: bytes, tmp_path: Path) -> None:
    image = tmp_path / "image"
    make("mkswap", image)
    with image.open("r+b") as file:
        file.seek(4096 - len(signature))
        file.write(signature + b"memory" * 1000)
    before = image.read_bytes()
    [note] = sparsify(image).notes
    assert "the guest is hibernated" in note
    assert image.read_bytes() == before
