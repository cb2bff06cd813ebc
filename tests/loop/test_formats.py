"""Images of QEMU's formats, and fixed vhd, which is raw but for a footer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bootstrapvz_sparse.image import sparsify
from bootstrapvz_sparse.image.convert import convert
from bootstrapvz_sparse.image.extents import allocated
from bootstrapvz_sparse.util import programs
from bootstrapvz_sparse.util.errors import SparseError, VerificationFailed
from tests.support.mounting import mounted, run
from tests.support.used import ZEROS, assert_holds, make_used

pytestmark = pytest.mark.loop

MIB = 1 << 20
Used = tuple[Path, dict[str, bytes]]


@pytest.fixture(scope="module", params=["ext4", "xfs"])
def used(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Used:
    size = 64 * MIB if request.param == "ext4" else 300 * MIB
    return make_used(request.param, tmp_path_factory.mktemp("used"), size)


def packed(used: Used, folder: Path, format: str, *options: str) -> Path:
    image = folder / f"volume.{format}"
    run("qemu-img", "convert", "-f", "raw", "-O", format, *options, used[0], image)
    return image


def unpacked(image: Path, format: str, folder: Path) -> Path:
    raw = folder / "unpacked"
    run("qemu-img", "convert", "-f", format, "-O", "raw", image, raw)
    return raw


@pytest.mark.parametrize("format", ["vdi", "vmdk", "qcow2"])
def test_converted(used: Used, tmp_path: Path, format: str) -> None:
    # -S 0: zeros are written, too, as a build does
    image = packed(used, tmp_path, format, "-S", "0")
    image.chmod(0o640)
    before = allocated(image.stat())
    done = convert(image, format)
    assert (done.before, done.after) == (before, allocated(image.stat()))
    # a cluster of vdi is 1 MiB, and what is deleted may share it with what is not
    assert done.before - done.after >= ZEROS - 2 * MIB
    assert done.verified[0] == "no byte in use has changed"
    assert done.verified[-1] == f"the {format} image has the content of its raw disk"
    assert done.notes == ()
    assert os.listdir(tmp_path) == [image.name]
    assert image.stat().st_mode & 0o777 == 0o640
    if "ext4" in used[0].name:
        assert_holds(unpacked(image, format, tmp_path), used[1], tmp_path)
    else:
        run("xfs_repair", "-n", unpacked(image, format, tmp_path))


def test_what_was_deleted_goes(used: Used, tmp_path: Path) -> None:
    image = packed(used, tmp_path, "qcow2")  # no zeros to win
    done = convert(image, "qcow2")
    assert done.before - done.after >= 7 * MIB  # half of twenty files of 1 MiB, some in both
    image = packed(used, tmp_path, "qcow2")
    done = convert(image, "qcow2", reclaim="none")
    assert abs(done.before - done.after) < MIB


def test_a_conversion_that_loses_something(
    used: Used, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = packed(used, tmp_path, "vdi")
    content = image.read_bytes()
    run_program = programs.run

    def lossy(program: str, *arguments: str | Path, **options: Any) -> Any:
        if arguments[3:5] == ("-O", "vdi"):  # from the raw disk
            with open(arguments[-2], "r+b") as file:
                file.seek(4 * MIB)
                file.write(b"lost")
        result = run_program(program, *arguments, **options)
        if arguments[3:5] == ("-O", "vdi"):
            with open(arguments[-2], "r+b") as file:
                file.seek(4 * MIB)
                file.write(b"more")
        return result

    monkeypatch.setattr(programs, "run", lossy)
    with pytest.raises(VerificationFailed, match="[Mm]ismatch"):
        convert(image, "vdi")
    assert image.read_bytes() == content
    assert os.listdir(tmp_path) == [image.name]


def test_not_of_that_format(used: Used, tmp_path: Path) -> None:
    image = packed(used, tmp_path, "qcow2")
    content = image.read_bytes()
    with pytest.raises(SparseError, match="qemu-img failed"):
        convert(image, "vdi")
    assert image.read_bytes() == content
    assert os.listdir(tmp_path) == [image.name]


def test_no_room(used: Used, tmp_path: Path) -> None:
    image = packed(used, tmp_path, "qcow2")
    with mounted("tmpfs", tmp_path, allocated(image.stat()) + 4 * MIB) as folder:
        run("cp", image, folder)
        with pytest.raises(SparseError, match="qemu-img: a second file needs up to"):
            convert(folder / image.name, "qcow2")
        assert os.listdir(folder) == [image.name]


@pytest.mark.parametrize("method", ["punch", "copy", "dig-holes"])
def test_vhd_keeps_its_footer(used: Used, tmp_path: Path, method: str) -> None:
    image = tmp_path / "volume.vhd"
    options = ("-o", "subformat=fixed")
    run("qemu-img", "convert", "-f", "raw", "-O", "vpc", *options, "-S", "0", used[0], image)
    size, footer = image.stat().st_size, image.read_bytes()[-512:]
    assert footer.startswith(b"conectix")
    report = sparsify(image, method=method, verify=True)
    assert report.notes == ()
    assert report.before - report.after >= ZEROS + 7 * MIB
    assert (image.stat().st_size, image.read_bytes()[-512:]) == (size, footer)
    run("qemu-img", "info", "-f", "vpc", image)
    if "ext4" in used[0].name:
        assert_holds(unpacked(image, "vpc", tmp_path), used[1], tmp_path)


@pytest.mark.parametrize("label", ["dos", "gpt"])
def test_vhd_with_partitions(used: Used, tmp_path: Path, label: str) -> None:
    disk, image = tmp_path / "disk", tmp_path / "volume.vhd"
    with disk.open("wb") as file:
        file.truncate(used[0].stat().st_size + 4 * MIB)
    script = tmp_path / "script"
    script.write_text(f"label: {label}\nstart=2048, size={used[0].stat().st_size // 512}\n")
    run("sh", "-c", 'sfdisk -q "$1" <"$2"', "sh", disk, script)
    run("dd", "status=none", f"if={used[0]}", f"of={disk}", "bs=1M", "seek=1", "conv=notrunc")
    options = ("-o", "subformat=fixed,force_size")
    run("qemu-img", "convert", "-f", "raw", "-O", "vpc", *options, "-S", "0", disk, image)
    before = image.read_bytes()
    report = sparsify(image, verify=True)
    assert report.notes == ()
    assert report.before - report.after >= ZEROS + 7 * MIB
    after = image.read_bytes()
    assert after[-512:] == before[-512:] and after[: 1 * MIB] == before[: 1 * MIB]
