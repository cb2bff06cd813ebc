"""The records of filesystems, and the layouts of on-disk structures."""

import struct
from pathlib import Path
from typing import Annotated, NamedTuple

import pytest

from bootstrapvz_sparse.image.checkers import CHECKERS
from bootstrapvz_sparse.image.filesystems import (
    KINDS,
    READERS,
    UntrustedMetadata,
    find_free_space,
)
from bootstrapvz_sparse.image.filesystems.on_disk import Layout
from bootstrapvz_sparse.image.view import FileMap
from bootstrapvz_sparse.util.programs import PACKAGES

DOCS = Path(__file__).parents[2] / "docs"


def test_each_type_leads_to_its_record() -> None:
    assert all(type in kind.types for type, kind in KINDS.items())
    assert len(KINDS) == sum(len(kind.types) for kind in set(KINDS.values()))
    assert set(READERS) == {"ext2", "ext3", "ext4", "swap", "swsuspend", "xfs"}
    without_reader = {type for type, kind in KINDS.items() if kind.discardable and not kind.reader}
    assert without_reader == {"btrfs", "exfat", "f2fs", "vfat"}


def test_the_checkers_are_those_of_the_records() -> None:
    expected = {type: kind.checker for type, kind in KINDS.items() if kind.checker}
    assert {type: checker.command[0] for type, checker in CHECKERS.items()} == expected
    assert set(expected.values()) <= set(PACKAGES)


def test_the_table_of_docs_shows_the_records() -> None:
    rows = [
        f"| {', '.join(f'`{type}`' for type in kind.types)} "
        f"| {'its reader' if kind.reader else 'the kernel'} "
        f"| {f'`{kind.checker}`' if kind.checker else 'none'} "
        f"| {'yes' if kind.discardable else 'no'} |"
        for kind in dict.fromkeys(KINDS.values())
    ]
    assert "\n".join(rows) in (DOCS / "engine.md").read_text()


@pytest.mark.parametrize(
    ("type", "message"), [("", "no known filesystem"), ("btrfs", "no reader for btrfs")]
)
def test_no_reader(type: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with (tmp_path / "empty").open("rb") as file, pytest.raises(UntrustedMetadata, match=message):
        find_free_space(type, FileMap(file.fileno(), 0))


class Pair(NamedTuple):
    """Two fields, with a gap between them."""

    first: Annotated[int, 2, "H"]
    second: Annotated[int, 8, "I"] = 7


class Overlapping(NamedTuple):
    """Two fields of which the second begins within the first."""

    first: Annotated[int, 0, "I"]
    second: Annotated[int, 2, "H"]


def test_a_layout() -> None:
    raw = struct.pack(">2xH4xI4x", 1, 2)
    layout = Layout(Pair, ">", 16)
    assert layout.unpack(raw) == Pair(1, 2)
    assert layout.unpack(b"\xff" + raw, 1) == Pair(1, 2)
    assert list(layout.iter_unpack(raw * 3)) == [Pair(1, 2)] * 3
    assert Layout(Pair, "<", 8).unpack(raw) == Pair(256, 7)  # the second field keeps its default


def test_fields_must_not_overlap() -> None:
    with pytest.raises(ValueError, match="second: overlaps"):
        Layout(Overlapping, "<", 8)
