"""The zero finder, against one that looks at every block."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrapvz_sparse.image import zeros
from bootstrapvz_sparse.image.extents import Ranges, union

BLOCK = 512


def naive(content: bytes, start: int, end: int) -> Ranges:
    blocks = [(p, min(p + BLOCK, end)) for p in range(start, end, BLOCK)]
    return union(pair for pair in blocks if not any(content[pair[0] : pair[1]]))


def block(kind: int) -> bytes:
    """Zero; not zero in its first, its last or a middle byte."""
    content = bytearray(BLOCK)
    if kind:
        content[{1: 0, 2: BLOCK - 1, 3: 200}[kind]] = 1
    return bytes(content)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zeros") / "file"


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([0, 0, 0, 1, 2, 3]), max_size=40),
    st.integers(0, BLOCK - 1),
    st.integers(0, 8),
    st.sampled_from([1, 4, 7]),
)
def test_finds_what_a_naive_search_finds(
    path: Path, kinds: list[int], cut: int, first: int, blocks_of_chunk: int
) -> None:
    content = b"".join(map(block, kinds))
    content = content[: len(content) - cut] if cut < len(content) else content
    path.write_bytes(content)
    start = min(first * BLOCK, len(content))
    before, zeros.CHUNK = zeros.CHUNK, blocks_of_chunk * BLOCK
    try:
        with path.open("rb") as file:
            found = union(zeros.zero_blocks(file.fileno(), [(start, len(content))], BLOCK))
    finally:
        zeros.CHUNK = before
    assert found == naive(content, start, len(content))


def test_a_file_that_becomes_shorter_is_an_error(path: Path) -> None:
    path.write_bytes(bytes(BLOCK))
    with path.open("rb") as file, pytest.raises(OSError, match="shorter"):
        list(zeros.zero_blocks(file.fileno(), [(0, 2 * BLOCK)], BLOCK))
