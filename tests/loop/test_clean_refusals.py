"""``bvz-sparse clean`` leaves alone what no build of the workspace made."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import pytest

from bootstrapvz_sparse.builder.record import Record, path_of
from bootstrapvz_sparse.cli import main
from tests.support.nobody import as_nobody

pytestmark = pytest.mark.loop  # as root


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not the record of a build"),
        ("[]", "not the record of a build"),
        ('{"version": 2, "new": []}', "not the record of a build"),
        ('{"version": 1, "folder": "FOLDER", "new": []}', "by another version of bvz-sparse: 1"),
        ('{"version": 2, "folder": "/elsewhere/0123abcd", "new": []}', "a build in /elsewhere"),
        ('{"version": 2, "folder": "FOLDER", "new": ["/etc"]}', "folders that no build makes"),
        ('{"version": 2, "folder": "FOLDER", "new": "/"}', "folders that no build makes"),
    ],
)
def test_no_record_of_a_build(
    text: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, dead = tmp_path / "0123abcd", tmp_path / "fedcba98"
    for path in (folder, dead):
        path.mkdir()
    (folder / "file").touch()
    path_of(folder).write_text(text.replace("FOLDER", str(folder)))
    path_of(dead).touch()  # killed before it wrote anything
    assert main(["clean", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"bvz-sparse: error: {path_of(folder)}: left alone: ")
    assert why in said.err
    assert said.out.splitlines() == [f"deleted {dead}", f"deleted {path_of(dead)}"]
    assert (folder / "file").exists() and path_of(folder).exists()


def test_links_and_the_files_of_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    workspace = tmp_path / "images"
    workspace.mkdir()
    linked, owned, link = (workspace / name for name in ("0123abcd", "4567cdef", "89abcdef"))
    linked.symlink_to(precious)
    path_of(linked).write_text(f'{{"version": 2, "folder": "{linked}", "new": []}}')
    owned.mkdir()
    path_of(owned).touch()
    os.chown(path_of(owned), 1000, 1000)
    link.mkdir()
    path_of(link).symlink_to(precious / "file")
    assert main(["clean", str(workspace)]) == 1
    reasons = [line.partition(": left alone: ")[2] for line in capsys.readouterr().err.splitlines()]
    assert reasons == [
        f"{linked} is not a folder",
        "not a regular file of root's",
        "Too many levels of symbolic links",
    ]
    assert (precious / "file").exists() and owned.exists() and link.exists()


@pytest.mark.parametrize("second", ['{"inode": 1}', "", "{", '{"inode": null}'])
def test_folders_that_the_build_did_not_make(
    second: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A neighbour has put a folder of root's in the place of the build's own."""
    folder = tmp_path / "0123abcd"
    record = Record(folder)
    record.begin()
    record.close()
    with path_of(folder).open("a") as file:
        file.write(f"\n{second}")
    folder.mkdir()
    (folder / "precious").touch()
    for options in ([], ["--dry-run"]):
        assert main(["clean", *options, str(tmp_path)]) == 1
        assert f"{path_of(folder)}: left alone: " in capsys.readouterr().err
    assert (folder / "precious").exists() and path_of(folder).exists()


def test_the_folder_that_the_build_made(tmp_path: Path) -> None:
    folder = tmp_path / "0123abcd"
    record = Record(folder)
    record.begin()
    folder.mkdir()
    record.note_folder()
    record.close()
    (folder / "root").mkdir()
    (folder / "root" / "file").touch()
    assert main(["clean", str(tmp_path)]) == 0
    assert os.listdir(tmp_path) == []


def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clean", str(tmp_path / "missing")]) == 1
    assert capsys.readouterr().err.endswith("missing: No such file or directory\n")
    (tmp_path / "file").touch()
    assert main(["clean", str(tmp_path / "file")]) == 1
    assert capsys.readouterr().err.endswith("file: Not a directory\n")
    assert main(["clean", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "nothing to clean\n"


def test_not_root(tmp_path: Path) -> None:
    def work() -> None:
        with contextlib.redirect_stderr(io.StringIO()) as said:
            assert main(["clean", str(tmp_path)]) == 1
        assert said.getvalue() == f"bvz-sparse: error: {tmp_path}: cleaning needs root\n"

    as_nobody(work)
