"""Draw real images as users do. Needs no root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bootstrapvz_sparse.cli import main
from bootstrapvz_sparse.image.extents import allocated
from bootstrapvz_sparse.ledger.ledger import Entry, Ledger
from bootstrapvz_sparse.render.json import ledger_json
from bootstrapvz_sparse.render.text import ledger_text
from bootstrapvz_sparse.util.text import human
from tests.support.ext import fill, mke2fs
from tests.support.unable import unable

MIB = 1 << 20
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A disk with swap and an ext4 filesystem with deleted files, all of them allocated."""
    for program in ("mke2fs", "mkswap", "sfdisk"):
        if shutil.which(program) is None:
            unable(f"{program}: not installed")
    path, part = tmp_path / "disk.raw", tmp_path / "part"
    with path.open("wb") as file:
        file.truncate(64 * MIB)
    table = 'label: gpt\nsize=8MiB,type=S,name="<&>"\ntype=L,name=root\n'
    subprocess.run(["sfdisk", "-q", path], input=table, text=True, check=True)
    mke2fs(part, ["-t", "ext4"], size=32 * MIB)
    fill(part, seed=1)
    with path.open("r+b") as file:
        file.seek(9 * MIB)
        file.write(part.read_bytes())
    with part.open("wb") as file:
        file.truncate(8 * MIB)
    part.chmod(0o600)
    subprocess.run(["mkswap", part], check=True, capture_output=True)
    with path.open("r+b") as file:
        file.seek(MIB)
        file.write(part.read_bytes())
    part.unlink()
    return path


def texts(path: Path) -> list[str]:
    return [node.text or "" for node in ElementTree.parse(path).iter(f"{SVG}text")]


def test_pictures_forecast_sparsify(image: Path, tmp_path: Path) -> None:
    svg, page = tmp_path / "x.svg", tmp_path / "x.html"
    svg.write_text("an older picture")
    assert main(["inspect", str(image), "--svg", str(svg), "--html", str(page)]) == 0
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    before = allocated(image.stat())
    drawn = texts(svg)
    assert f"{human(before)} on disk" in drawn and {"swap", "free", "hole", "in use"} <= set(drawn)
    assert any("“<&>”" in text for text in drawn) and svg.stat().st_size < 100_000
    assert main(["sparsify", "--quiet", str(image)]) == 0
    assert f"{human(allocated(image.stat()))} on disk" in drawn
    assert "“&lt;&amp;&gt;”" in page.read_text()
    assert svg.stat().st_mode & 0o777 == 0o644


def test_prints_pictures_on_standard_output(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(image), "--svg", "-"]) == 0
    assert ElementTree.fromstring(capsys.readouterr().out.encode()).tag == f"{SVG}svg"
    assert main(["inspect", str(image), str(image), "--html", "-"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("<!DOCTYPE html>") and out.count("<svg") == 2


def test_refuses_contradictory_options(
    image: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(image.parent)
    content = image.read_bytes()
    Path("link").symlink_to(image)
    for arguments, reason in (
        ([image, image, "--svg", "x"], "--svg draws one image"),
        ([image, "--svg", image], "refusing to overwrite the image with its picture"),
        ([image, "--html", "link"], "refusing to overwrite the image with its picture"),
        ([image, "--svg", "x", "--html", "x"], "named by both --svg and --html"),
        ([image, "--svg", "-", "--html", "-"], "named by both --svg and --html"),
        ([image, "--svg", "-", "--json"], "cannot both go to standard output"),
    ):
        assert main(["inspect", *map(str, arguments)]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert reason in line
    assert image.read_bytes() == content and not Path("x").exists()
    assert main(["inspect", str(image), "--svg", "none/x"]) == 1
    assert "none/x: No such file or directory" in capsys.readouterr().err
    assert main(["inspect", str(image), "--svg", "/dev/full"]) == 1
    assert "/dev/full: No space left on device" in capsys.readouterr().err
    assert main(["inspect", str(image), "--svg", os.devnull]) == 0
    assert not Path(os.devnull).is_file()  # it was not replaced


def test_draws_the_other_images(image: Path, tmp_path: Path) -> None:
    page = tmp_path / "x.html"
    assert main(["inspect", str(tmp_path / "none"), str(image), "--html", str(page)]) == 1
    assert page.read_text().count("<svg") == 1


def test_report_of_a_build(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger, path, svg = Ledger(), tmp_path / "report.json", tmp_path / "x.svg"
    ledger.entries.append(Entry("built", 2 * MIB, MIB, 1.5))
    path.write_text(json.dumps(ledger_json(ledger, image="/x/disk.raw")))
    assert main(["report", str(path), "--svg", str(svg)]) == 0
    assert capsys.readouterr().out == f"{ledger_text(ledger)}\n"
    assert "built" in texts(svg)
    assert main(["report", str(path), "--html", "-"]) == 0
    assert capsys.readouterr().out.startswith("<!DOCTYPE html>")
    assert main(["report", str(path), "--svg", str(path)]) == 2
    for text, reason in (("{}", "not the report of a build"), (None, "No such file")):
        path.unlink()
        if text:
            path.write_text(text)
        assert main(["report", str(path)]) == 1
        assert f"error: {path}: {reason}" in capsys.readouterr().err
        path.write_text("")


def test_makes_pictures_of_the_documentation(tmp_path: Path) -> None:
    script = Path(__file__).parent.parent.parent / "docs" / "make_pictures.py"
    if missing := [p for p in ("mke2fs", "mkswap", "sfdisk", "tar") if shutil.which(p) is None]:
        unable(f"not installed: {', '.join(missing)}")
    command = [sys.executable, script, tmp_path]
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "inspect.html",
        "inspect.svg",
        "report.svg",
    ]
    assert {"swap", "free", "zero", "unwritten"} <= set(texts(tmp_path / "inspect.svg"))
    assert "sparsified (punch)" in texts(tmp_path / "report.svg")
