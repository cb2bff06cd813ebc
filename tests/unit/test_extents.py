"""The algebra of byte ranges, against sets of numbers."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bootstrapvz_sparse.image.extents import (
    Ranges,
    align_inwards,
    complement,
    data,
    difference,
    intersection,
    total,
    union,
)

SIZE = 64
pairs = st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)))
sets = pairs.map(union)


def numbers(ranges: Ranges) -> set[int]:
    return {number for start, end in ranges for number in range(start, end)}


def is_canonical(ranges: Ranges) -> bool:
    flat = [number for pair in ranges for number in pair]
    return all(a < b for a, b in zip(flat, flat[1:]))  # strictly: none touch, none is empty


@given(pairs, pairs)
def test_union(first: Ranges, second: Ranges) -> None:
    result = union(first, second)
    assert is_canonical(result)
    assert numbers(result) == numbers(first) | numbers(second)
    assert total(result) == len(numbers(result))


@given(sets, sets)
def test_intersection_and_difference(first: Ranges, second: Ranges) -> None:
    for result, expected in (
        (intersection(first, second), numbers(first) & numbers(second)),
        (difference(first, second), numbers(first) - numbers(second)),
    ):
        assert is_canonical(result)
        assert numbers(result) == expected


@given(sets, st.integers(0, SIZE))
def test_complement(ranges: Ranges, size: int) -> None:
    result = complement(ranges, size)
    assert is_canonical(result)
    assert numbers(result) == set(range(size)) - numbers(ranges)


@given(sets, st.integers(1, 9), st.integers(0, SIZE))
def test_align_inwards_keeps_whole_blocks_only(ranges: Ranges, block: int, size: int) -> None:
    ranges = intersection(ranges, [(0, size)] if size else [])
    wanted = set()
    for start in range(0, size, block):
        whole = set(range(start, min(start + block, size)))
        if whole <= numbers(ranges):
            wanted |= whole
    assert numbers(align_inwards(ranges, block, size)) == wanted


def test_data_of_a_sparse_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("w+b") as file:
        for start in (1 << 20, 5 << 20):
            file.seek(start)
            file.write(b"x" * (1 << 20))
        file.truncate(8 << 20)
        file.flush()
        os.fsync(file.fileno())
        assert list(data(file.fileno(), 8 << 20)) == [(1 << 20, 2 << 20), (5 << 20, 6 << 20)]
        assert list(data(file.fileno(), (1 << 20) + 7)) == [(1 << 20, (1 << 20) + 7)]
