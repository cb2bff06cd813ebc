"""The record of a build, and what is told apart without mounting anything."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bootstrapvz_sparse.builder import clean as cleaning
from bootstrapvz_sparse.builder import leftovers, record
from bootstrapvz_sparse.builder.record import (
    Invalid,
    Record,
    Running,
    path_of,
    take,
)
from bootstrapvz_sparse.upstream import loop_partitions


def test_what_it_says_and_deletes(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "images" / "0123abcd"
    made = Record(folder)
    made.begin()
    path = path_of(folder)
    assert path == tmp_path / "new" / "images" / ".0123abcd.bvz-sparse"
    assert path.stat().st_mode & 0o777 == 0o600
    said = json.loads(path.read_text())
    assert said["version"] == record.VERSION and said["folder"] == str(folder)
    parents = [str(folder.parent), str(folder.parent.parent)]
    assert said["new"][-2:] == parents
    assert made.delete()[-2:] == parents
    made.close()
    assert os.listdir(tmp_path) == []


def test_a_workspace_that_somebody_uses_stays(tmp_path: Path) -> None:
    made = Record(tmp_path / "new" / "0123abcd")
    made.begin()
    (tmp_path / "new" / "image.raw").touch()
    assert str(tmp_path / "new") not in made.delete()
    made.close()
    assert os.listdir(tmp_path / "new") == ["image.raw"]


def test_never_over_the_record_of_another(tmp_path: Path) -> None:
    first, second = Record(tmp_path / "0123abcd"), Record(tmp_path / "0123abcd")
    first.begin()
    with pytest.raises(FileExistsError):
        second.begin()
    second.delete()
    second.close()
    assert path_of(first.folder).exists()
    first.delete()
    first.close()


def test_taken_only_of_a_dead_build(tmp_path: Path) -> None:
    made = Record(tmp_path / "0123abcd")
    made.begin()
    with pytest.raises(Running):
        take(path_of(made.folder))
    assert not os.get_inheritable(made._fd)  # or programs of a dead build would hold it
    made.close()
    taken = take(path_of(made.folder))
    assert taken.folder == made.folder and taken.new == made.new
    taken.delete()
    taken.close()
    with pytest.raises(FileNotFoundError):
        take(path_of(made.folder))


def test_cleaned_before_it_was_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its creation and its lock it looks like that of a dead build."""
    flock, cleaned = record.fcntl.flock, []

    def late(fd: int, how: int) -> None:
        if how == record.fcntl.LOCK_EX and not cleaned:
            cleaned.append(True)
            cleaned.extend(cleaning.clean(tmp_path))
        flock(fd, how)

    monkeypatch.setattr(record.fcntl, "flock", late)
    made = Record(tmp_path / "0123abcd")
    made.begin()
    assert len(cleaned) == 2 and path_of(made.folder).exists()
    with pytest.raises(Running):
        take(path_of(made.folder))
    made.delete()
    made.close()


def test_cleaned_by_another_while_it_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".0123abcd.bvz-sparse"
    path.touch()
    flock = record.fcntl.flock

    def late(fd: int, how: int) -> None:
        path.unlink()
        path.touch()
        flock(fd, how)

    monkeypatch.setattr(record.fcntl, "flock", late)
    with pytest.raises(FileNotFoundError):
        take(path)
    assert path.exists()


def test_no_regular_file(tmp_path: Path) -> None:
    path = tmp_path / ".0123abcd.bvz-sparse"
    os.mkfifo(path)
    with pytest.raises(Invalid):
        take(path)


def test_two_that_clean_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "0123abcd"
    record = Record(folder)
    record.begin()
    record.close()
    first = cleaning.clean(tmp_path)
    assert next(first).done  # it holds the record, which is gone already
    assert list(cleaning.clean(tmp_path)) == []
    assert [said.done for said in first] == []


def test_mappings_on_a_loop_device(tmp_path: Path) -> None:
    """device-mapper as the kernel shows it: a disk on the device, and partitions on that."""
    for device, holders, name in (
        ("loop3", ["dm-0"], ""),
        ("dm-0", ["dm-1", "dm-2"], "vda"),
        ("dm-1", [], "vda1"),
        ("dm-2", [], "vda2"),
        ("dm-9", [], "somebody's"),
    ):
        (tmp_path / device / "holders").mkdir(parents=True)
        (tmp_path / device / "dm").mkdir()
        (tmp_path / device / "dm" / "name").write_text(f"{name}\n")
        for holder in holders:
            (tmp_path / device / "holders" / holder).touch()
    assert leftovers.mappings("/dev/loop3", tmp_path) == ["vda1", "vda2", "vda"]
    assert leftovers.mappings("/dev/loop4", tmp_path) == []


def test_links_to_what_kpartx_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_partitions, "LINKS", tmp_path)
    for name, target in (
        ("ours", "/dev/mapper/loop3p1"),
        ("another's", "/dev/mapper/loop33p1"),
        ("udev's", "../../dm-0"),
    ):
        (tmp_path / name).symlink_to(target)
    (tmp_path / "no link").touch()
    assert loop_partitions.device_links("0123abcd", ["/dev/loop3"]) == [tmp_path / "ours"]
    assert loop_partitions.device_links("0123abcd") == []
