"""Run bvz-sparse sparsify and inspect as users do. Needs no root."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from bootstrapvz_sparse.cli import main
from bootstrapvz_sparse.image import inspect
from bootstrapvz_sparse.image.extents import allocated
from bootstrapvz_sparse.render.text import ROWS, block_map
from tests.support.commands import COMMAND, printed, whole_ext4
from tests.support.ext import mke2fs

MIB = 1 << 20


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return whole_ext4(tmp_path)


def test_sparsify_frees_blocks_once(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sparsify", str(image)]) == 0
    out, err = printed(capsys)
    assert re.fullmatch(
        rf"{image}: freed [\d.]+ MiB \(32\.0 MiB -> [\d.]+ MiB on disk, punch, [\d.]+ s\)\n",
        out,
    )
    assert err == []
    assert allocated(image.stat()) < 20 * MIB
    before = allocated(image.stat())
    assert main(["sparsify", "--quiet", str(image)]) == 0
    assert printed(capsys) == ("", [])
    assert allocated(image.stat()) == before


def test_dry_run_and_inspect_change_nothing(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image.chmod(0o444)
    before, content = image.stat(), image.read_bytes()
    assert main(["sparsify", "--dry-run", str(image)]) == 0
    plan, _ = printed(capsys)
    assert main(["inspect", str(image)]) == 0
    inspection, _ = printed(capsys)
    after = image.stat()
    assert (after.st_blocks, after.st_mtime_ns) == (before.st_blocks, before.st_mtime_ns)
    assert image.read_bytes() == content
    image.chmod(0o644)
    assert main(["sparsify", "--json", str(image)]) == 0
    [done] = json.loads(printed(capsys)[0])["images"]
    left = re.search(r"would free [\d.]+ MiB: 32\.0 MiB -> ([\d.]+) MiB on disk", plan)
    assert left and abs(float(left[1]) * MIB - done["after"]) < 0.1 * MIB
    for text in (plan, inspection):
        assert re.search(r"^whole +ext4 +32\.0 MiB ", text, re.M)
        assert re.search(r"partition +filesystem +size +in use +zero +free +journal", text)


def test_json(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sparsify", "--json", "--dry-run", str(image)]) == 0
    document = json.loads(printed(capsys)[0])
    assert document["version"] == 1
    [report] = document["images"]
    assert report["method"] is None and report["path"] == str(image)
    [part] = report["parts"]
    bytes_ = part["bytes"]
    assert sum(n for kind, n in bytes_.items() if kind != "lost") == 32 * MIB
    gain = bytes_["zero"] + bytes_["free"] + bytes_["journal"] - bytes_["lost"]
    # blocks of the host that are part free, part zero count once for both
    assert 0 <= report["before"] - report["after"] - gain <= bytes_["lost"]
    assert main(["inspect", "--json", str(image)]) == 0
    [inspection] = json.loads(printed(capsys)[0])["images"]
    assert inspection["parts"] == report["parts"]
    assert inspection["gain"] == report["before"] - report["after"]
    assert main(["sparsify", "--json", "--method", "none", "--verify", str(image)]) == 0
    [report] = json.loads(printed(capsys)[0])["images"]
    assert report["method"] == "none"
    assert report["verified"] == [
        "no byte in use has changed",
        "the filesystem: ext4 checks clean",
    ]


def test_zero_is_null_without_a_scan(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sparsify", "--json", "--method", "none", str(image)]) == 0
    [report] = json.loads(printed(capsys)[0])["images"]
    assert report["parts"][0]["bytes"]["zero"] is None


def test_block_map(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "image"
    content = (os.urandom(MIB) + bytes(MIB)) * 2
    path.write_bytes(content)
    with path.open("r+b") as file:
        file.truncate(6 * MIB)
        os.fsync(file.fileno())
    assert main(["inspect", str(path)]) == 0
    out, _ = printed(capsys)
    drawn = "".join(line for line in out.splitlines() if re.fullmatch("[█0░·]+", line))
    cell = re.search(r"\(1 character = ([\d.]+) KiB\)", out)
    assert cell
    count = int(MIB / (float(cell[1]) * 1024))
    assert drawn == ("█" * count + "0" * count) * 2 + "·" * 2 * count
    assert "█ in use  0 zero  · hole" in out and "journal" not in out
    assert "bvz-sparse sparsify would free 2.0 MiB" in out
    # a terminal that reports no size
    plan = inspect(path)
    drawn = block_map(plan.survey, plan.shares(), width=0)
    assert len(drawn.splitlines()) <= 2 * ROWS + 2


def test_processes_the_other_images(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = image.with_name("other")
    other.write_bytes(bytes(MIB))
    assert main(["sparsify", str(image.parent), str(other), str(image)]) == 1
    assert allocated(other.stat()) == 0
    assert len(printed(capsys)[1]) == 1


@pytest.mark.parametrize("size", [1, 511, 513, 4095, 4097, MIB + 1])
def test_keeps_content_of_odd_sizes(size: int, tmp_path: Path) -> None:
    for content in (bytes(size), os.urandom(size), bytes(size - 1) + b"x"):
        path = tmp_path / "image"
        path.write_bytes(content)
        assert main(["sparsify", "--quiet", "--verify", str(path)]) == 0
        assert path.read_bytes() == content
        if not any(content):
            assert allocated(path.stat()) == 0


def test_keeps_bytes_after_the_filesystem(tmp_path: Path) -> None:
    path = tmp_path / "image"
    mke2fs(path, ["-t", "ext2", "-b", "1024"], size=5 * MIB + 3 * 1024)
    with path.open("ab") as file:
        file.write(tail := os.urandom(700))  # of no known filesystem
    subprocess.run(["cp", "--sparse=never", path, tmp_path / "whole"], check=True)
    assert main(["sparsify", "--quiet", "--verify", str(tmp_path / "whole")]) == 0
    assert (tmp_path / "whole").read_bytes()[-700:] == tail


def test_follows_symbolic_link(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link = image.with_name("link")
    link.symlink_to(image.name)
    assert main(["sparsify", str(link)]) == 0
    assert f"note: {link} is a symbolic link to {image}" in printed(capsys)[0]
    assert allocated(image.stat()) < 20 * MIB and link.is_symlink()


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/image\xff\n\x1b[31m"
    Path(os.fsdecode(path)).write_bytes(bytes(MIB))
    for more in ([], ["--json"]):
        done = subprocess.run([*COMMAND, "sparsify", *more, path], capture_output=True)
        assert done.returncode == 0, done.stderr
        assert b"\x1b" not in done.stdout
    # not a lone surrogate, which many JSON parsers reject
    assert json.loads(done.stdout)["images"][0]["path"].endswith("image\\xff\n\x1b[31m")
    done = subprocess.run([*COMMAND, "sparsify", path], capture_output=True)
    assert b"image\\xff\\n\\x1b[31m: " in done.stdout and done.stdout.count(b"\n") == 2
    done = subprocess.run([*COMMAND, "sparsify", path + b"x"], capture_output=True)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1


def test_exits_2_on_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["sparsify"],
        ["sparsify", "--method", "magic", "x"],
        ["sparsify", "--reclaim", "all", "x"],
        ["sparsify", "--min-hole", "-1", "x"],
        ["sparsify", "--min-hole", "two", "x"],
        ["inspect"],
    ):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
