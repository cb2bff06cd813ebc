"""The sparse map of a tarball is bounded, whatever a file says."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from bootstrapvz_sparse.image import oldgnu
from bootstrapvz_sparse.image.tarball import check, write
from bootstrapvz_sparse.util.errors import InvalidTarball
from tests.support.pieces import make


def sparse_header(entries: bytes, more: bytes) -> bytes:
    """Return the header of a sparse disk of 1 GiB in old GNU format, with the given map."""
    header = bytearray(512)
    for offset, field in (
        *((0, b"disk.raw"), (100, b"0000644\0"), (108, b"0000000\0"), (116, b"0000000\0")),
        *((124, b"00000000000\0"), (136, b"00000000000\0"), (156, b"S"), (257, b"ustar  \0")),
        *((386, entries), (482, more), (483, b"10000000000\0"), (148, b" " * 8)),
    ):
        header[offset : offset + len(field)] = field
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.parametrize(
    ("entries", "block"),
    [
        (b"00000000000\0" * 8, b"00000000000\0" * 42),
        (b"", b""),  # blocks without any entry
        (b"", b"00000000000\0" * 2),
    ],
)
def test_endless_map_is_refused(entries: bytes, block: bytes, tmp_path: Path) -> None:
    tarball = tmp_path / "map.tar.gz"
    with gzip.open(tarball, "wb") as file:
        file.write(sparse_header(entries, b"\1"))
        for _ in range(50):
            file.write((block.ljust(504, b"\0") + b"\1").ljust(512, b"\0") * 2048)
        file.write(bytes(2048))
    with pytest.raises(InvalidTarball, match="the sparse map has empty entries"):
        check(tarball)


def test_map_with_too_many_entries_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oldgnu, "MAX_SEGMENTS", 50)
    image = make(tmp_path / "image", pieces=100)
    with pytest.raises(InvalidTarball, match="not in order or too long"):
        write(image, tmp_path / "out.tar.gz")
    assert os.listdir(tmp_path) == ["image"]
