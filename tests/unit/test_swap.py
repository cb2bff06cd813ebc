"""Swap areas: headers of every page size, of other versions, and of hibernated guests."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from bootstrapvz_sparse.image.filesystems import NeedsRecovery, UntrustedMetadata, swap
from bootstrapvz_sparse.image.filesystems.free_space import FreeSpace
from bootstrapvz_sparse.image.view import FileMap, window

SIZE = 1 << 20
TUXONICE = b"\xed\xc3\x02\xe9\x98\x56\xe5\x0c"


def header(page: int, signature: bytes = b"SWAPSPACE2", version: int = 1, last: int = 0) -> bytes:
    start = bytes(1024) + struct.pack("<II", version, last or SIZE // page - 1)
    return start.ljust(page - 10, b"\0") + signature.ljust(10, b"\0")


def read(tmp_path: Path, raw: bytes, size: int = SIZE, start: int = 0) -> FreeSpace:
    path = tmp_path / "image"
    path.write_bytes((bytes(start) + raw).ljust(start + size, b"\0"))
    with path.open("rb") as file:
        image = FileMap(file.fileno(), start + size)
        return swap.find_free_space(window(image, start, start + size))


@pytest.mark.parametrize("page", swap.PAGE_SIZES)
@pytest.mark.parametrize("start", [0, 512])
def test_pages_after_the_header(page: int, start: int, tmp_path: Path) -> None:
    found = read(tmp_path, header(page), start=start)
    assert found == FreeSpace(swap=[(start + page, start + SIZE)])


@pytest.mark.parametrize("page", swap.PAGE_SIZES)
@pytest.mark.parametrize("signature", [b"S1SUSPEND", b"S2SUSPEND", b"ULSUSPEND", b"LINHIB0001"])
def test_hibernated(signature: bytes, page: int, tmp_path: Path) -> None:
    with pytest.raises(NeedsRecovery, match="the guest is hibernated"):
        read(tmp_path, header(page, signature))


def test_hibernated_by_tuxonice(tmp_path: Path) -> None:
    with pytest.raises(NeedsRecovery, match="the guest is hibernated"):
        read(tmp_path, TUXONICE + header(4096)[len(TUXONICE) :])


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "no header of a swap area"),
        (header(4096, b"SWAP-SPACE"), "unsupported version 0"),
        (header(4096, version=2), "unsupported version 2"),
        (header(4096, version=1 << 24), "unsupported version 16777216"),  # the other byte order
        (header(4096, last=256), "larger than its partition .1048576 bytes"),
    ],
)
def test_not_trusted(raw: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(UntrustedMetadata, match=message) as caught:
        read(tmp_path, raw)
    assert not isinstance(caught.value, NeedsRecovery)


def test_no_pages(tmp_path: Path) -> None:
    raw = bytearray(header(4096))
    raw[1028:1032] = bytes(4)
    with pytest.raises(UntrustedMetadata, match="invalid last_page 0"):
        read(tmp_path, bytes(raw))


@pytest.mark.parametrize("size", [0, 9, 1024, 4095])
def test_too_small_for_a_header(size: int, tmp_path: Path) -> None:
    with pytest.raises(UntrustedMetadata, match="no header of a swap area"):
        read(tmp_path, b"", size)
