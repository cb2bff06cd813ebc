"""CRC-32C, against a definition of it bit by bit."""

from __future__ import annotations

import random

import pytest

from bootstrapvz_sparse.image.filesystems.checksums import PIECE, crc32c


def bit_by_bit(data: bytes, crc: int) -> int:
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


def test_the_check_value() -> None:
    # of the catalogue of parametrised CRC algorithms, https://reveng.sourceforge.io/crc-catalogue/
    assert crc32c(b"123456789") ^ 0xFFFFFFFF == 0xE3069283


@pytest.mark.parametrize("seed", range(40))
def test_any_data(seed: int) -> None:
    chance = random.Random(seed)
    pieces = [bytes(PIECE), b"\xff" * PIECE, chance.randbytes(PIECE), b"\0" * 63 + b"\1"]
    data = b"".join(chance.choice(pieces) for _ in range(chance.randrange(40)))
    data += chance.randbytes(chance.randrange(PIECE))
    start = chance.getrandbits(32)
    assert crc32c(data, start) == bit_by_bit(data, start)
    assert crc32c(data) == bit_by_bit(data, 0xFFFFFFFF)
