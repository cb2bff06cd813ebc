"""What ``bvz-sparse clean`` leaves alone because no build of the workspace made it."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import pytest

from bootstrapvz_sparse.builder.record import path_of
from bootstrapvz_sparse.cli import main
from tests.support.nobody import as_nobody

pytestmark = pytest.mark.loop  # as root


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "it is no record of a build"),
        ("[]", "it is no record of a build"),
        ('{"version": 1, "new": []}', "it is no record of a build"),
        ('{"version": 2, "folder": "FOLDER", "new": []}', "of another version of bvz-sparse: 2"),
        ('{"version": 1, "folder": "/elsewhere/0123abcd", "new": []}', "a build in /elsewhere"),
        ('{"version": 1, "folder": "FOLDER", "new": ["/etc"]}', "folders that no build makes"),
        ('{"version": 1, "folder": "FOLDER", "new": "/"}', "folders that no build makes"),
    ],
)
def test_no_record_of_a_build(
    text: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, dead = tmp_path / "0123abcd", tmp_path / "fedcba98"
    for path in (folder, dead):
        path.mkdir()
        (path / "file").touch()
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
    path_of(linked).write_text(f'{{"version": 1, "folder": "{linked}", "new": []}}')
    owned.mkdir()
    path_of(owned).touch()
    os.chown(path_of(owned), 1000, 1000)
    link.mkdir()
    path_of(link).symlink_to(precious / "file")
    assert main(["clean", str(workspace)]) == 1
    reasons = [line.partition(": left alone: ")[2] for line in capsys.readouterr().err.splitlines()]
    assert reasons == [
        f"{linked} is no folder",
        "it is no file of root's",
        "Too many levels of symbolic links",
    ]
    assert (precious / "file").exists() and owned.exists() and link.exists()


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
        assert said.getvalue() == "bvz-sparse: error: cleaning a workspace needs root\n"

    as_nobody(work)
