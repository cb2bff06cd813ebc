"""Tarballs for Google Compute Engine: what is written, and what the check finds wrong."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from bootstrapvz_sparse.cli import main
from bootstrapvz_sparse.image.extents import allocated, data
from bootstrapvz_sparse.image.tarball import check, write
from bootstrapvz_sparse.util.errors import (
    SparseError,
    Unsupported,
    VerificationFailed,
)
from tests.support.mounting import mounted, run
from tests.support.pieces import GIB, MIB, PIECES, make
from tests.support.unable import unable


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return make(tmp_path / "image.raw")


def content(path: Path) -> bytes:
    return subprocess.run(["sha256sum", path], check=True, capture_output=True).stdout.split()[0]


def extents(path: Path) -> list[tuple[int, int]]:
    with path.open("rb") as file:
        return list(data(file.fileno(), path.stat().st_size))


def pack(folder: Path, *names: str, options: tuple[str, ...] = ("--format=oldgnu", "-S")) -> Path:
    path = folder / "made.tar.gz"
    run("tar", "--directory", folder, *options, "-I", "gzip -1", "-cf", path, *names)
    return path


@pytest.mark.parametrize("compressor", ["pigz", "gzip"])
def test_written(image: Path, tmp_path: Path, compressor: str) -> None:
    if not shutil.which(compressor):
        unable(f"{compressor} is not there")
    tarball = tmp_path / "out.tar.gz"
    found = write(image, tarball, compressor=compressor, level=1)
    assert (found.size, found.disk) == (tarball.stat().st_size, GIB)
    assert found.stored == sum(end - start for start, end in extents(image))
    with tarfile.open(tarball) as archive:
        [member] = archive.getmembers()
    assert (member.name, member.size, member.mode) == ("disk.raw", GIB, 0o644)
    assert (member.uid, member.gid, member.uname, member.mtime) == (0, 0, "root", 0)
    assert member.pax_headers == {}
    run("tar", "-C", tmp_path, "-xzf", tarball)
    assert content(tmp_path / "disk.raw") == content(image)
    # within a block for each extent
    assert allocated((tmp_path / "disk.raw").stat()) <= allocated(image.stat()) + 4096 * PIECES
    assert check(tarball, image) == found
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_same_image_gives_the_same_tarball(image: Path, tmp_path: Path) -> None:
    write(image, tmp_path / "a.tar.gz")
    other = tmp_path / "-another name, at ano'ther time\n.img"
    run("cp", "--sparse=always", image, other)
    other.chmod(0o600)
    write(other, tmp_path / "b.tar.gz")
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()


def test_nothing_but_a_hole(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.touch()
    os.truncate(image, GIB)
    assert write(image, tmp_path / "out.tar.gz").stored == 0
    assert check(tmp_path / "out.tar.gz", image).disk == GIB


def test_more_than_8_gib(tmp_path: Path) -> None:
    """Sizes above 8 GiB do not fit the octal field of a tar header: they are in base 256."""
    image = make(tmp_path / "image", 16 * GIB)
    assert write(image, tmp_path / "out.tar.gz").disk == 16 * GIB
    assert main(["check", str(tmp_path / "out.tar.gz"), str(image)]) == 0


@pytest.mark.parametrize("size", [GIB - 1, GIB + 4096, 640 * MIB])
def test_no_whole_number_of_gib(tmp_path: Path, size: int) -> None:
    image = make(tmp_path / "image", size)
    with pytest.raises(SparseError, match=r"Compute Engine wants a whole number of GiB \(.* more"):
        write(image, tmp_path / "out.tar.gz")
    assert os.listdir(tmp_path) == ["image"]
    image.rename(tmp_path / "disk.raw")
    with pytest.raises(SparseError, match="the disk has .* bytes; Compute Engine wants"):
        check(pack(tmp_path, "disk.raw"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--format=pax", "-S"), "its member is a PAX header"),
        (("--format=pax", "--xattrs"), "its member is a PAX header"),
        (("--format=ustar",), r"not in \(old\) GNU format"),
        (("--format=posix",), "its member is a PAX header"),
        (("--format=oldgnu", "-S", "--transform=s/disk/Disk/"), "called 'Disk.raw', not disk.raw"),
        (("--format=oldgnu", "-S", "--transform=s,^,./,"), "called './disk.raw', not disk.raw"),
        (("--format=gnu", f"--transform=s/disk/{'d' * 120}/"), "its member is a long name"),
    ],
)
def test_other_archives(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    make(tmp_path / "disk.raw", 8 * MIB, pieces=2)  # refused by its header, whatever its size
    os.setxattr(tmp_path / "disk.raw", "user.note", b"x")
    with pytest.raises(SparseError, match=message):
        check(pack(tmp_path, "disk.raw", options=options))


def test_archives_that_are_right(tmp_path: Path) -> None:
    """Archives by other programs: as upstream makes them, and one without holes."""
    image = make(tmp_path / "disk.raw")
    assert check(pack(tmp_path, "disk.raw", options=("--format=gnu", "-S")), image).disk == GIB
    whole = check(pack(tmp_path, "disk.raw", options=("--format=oldgnu",)), image)
    assert (whole.disk, whole.stored) == (GIB, GIB)


def test_members_of_other_kinds(tmp_path: Path) -> None:
    make(tmp_path / "disk.raw", pieces=1)
    (tmp_path / "other").write_text("x")
    with pytest.raises(SparseError, match="it has more than one member"):
        check(pack(tmp_path, "disk.raw", "other"))
    (tmp_path / "disk.raw").unlink()
    (tmp_path / "disk.raw").mkdir()
    with pytest.raises(SparseError, match="its member is a directory"):
        check(pack(tmp_path, "disk.raw"))
    (tmp_path / "disk.raw").rmdir()
    (tmp_path / "disk.raw").symlink_to("other")
    with pytest.raises(SparseError, match="its member is a symbolic link"):
        check(pack(tmp_path, "disk.raw"))
    with pytest.raises(SparseError, match="the archive is empty"):
        check(pack(tmp_path, "--files-from=/dev/null"))


def test_damaged(image: Path, tmp_path: Path) -> None:
    tarball = tmp_path / "out.tar.gz"
    write(image, tarball)
    whole = tarball.read_bytes()
    for damaged, message in (
        (whole[: len(whole) // 2], "unexpected end of file"),
        (whole[:-4], "unexpected end of file"),
        (whole[:-8] + b"\0\0\0\0" + whole[-4:], "crc error"),
        (whole + b"rubbish", "garbage"),
        (whole[:20], "unexpected end of file"),
        (b"", "not compressed by gzip"),
        (b"PK\3\4", "not compressed by gzip"),
        (gzip.compress(b"no tar" * 200), "not a tar archive"),
        (gzip.compress(gzip.decompress(whole)[:2048]), "the archive is cut off"),
    ):
        tarball.write_bytes(damaged)
        with pytest.raises(SparseError, match=message):
            check(tarball)


def test_a_map_that_lies(image: Path, tmp_path: Path) -> None:
    tarball = tmp_path / "out.tar.gz"
    write(image, tarball)
    archive = bytearray(gzip.decompress(tarball.read_bytes()))
    first = archive[386:398]
    for changed, message in (
        (b"77777777777\0", "contradicts the size of the file"),
        (b"99999999999\0", "not a tar archive: invalid header"),
    ):
        archive[386:398] = changed
        archive[148:156] = b" " * 8
        archive[148:156] = b"%06o\0 " % sum(archive[:512])
        tarball.write_bytes(gzip.compress(bytes(archive), 1))
        with pytest.raises(SparseError, match=message):
            check(tarball)
    assert first != changed


@pytest.mark.parametrize(
    ("size", "message"), [(0, "wants a whole number of GiB"), (-GIB, "a negative size")]
)
def test_a_disk_of_no_size(tmp_path: Path, size: int, message: str) -> None:
    member = tarfile.TarInfo("disk.raw")
    member.size = size
    archive = member.tobuf(tarfile.GNU_FORMAT) + bytes(1024)
    (tmp_path / "out.tar.gz").write_bytes(gzip.compress(archive))
    with pytest.raises(SparseError, match=message):
        check(tmp_path / "out.tar.gz")


@pytest.mark.parametrize("position", [0, 4 * MIB + 8191, 2 * MIB, GIB - 1])
def test_another_image(image: Path, tmp_path: Path, position: int) -> None:
    tarball = tmp_path / "out.tar.gz"
    write(image, tarball)
    with image.open("r+b") as file:
        os.pwrite(file.fileno(), b"!", position)
    with pytest.raises(VerificationFailed):
        check(tarball, image)
    os.truncate(image, 2 * GIB)
    with pytest.raises(VerificationFailed, match="but the disk in the tarball has"):
        check(tarball, image)


@pytest.mark.loop
def test_no_room(image: Path, tmp_path: Path) -> None:
    with image.open("r+b") as file:
        os.pwrite(file.fileno(), os.urandom(2 * MIB), 500 * MIB)
    with mounted("tmpfs", tmp_path, MIB) as folder:
        with pytest.raises(SparseError, match="No space left on device"):
            write(image, folder / "out.tar.gz")
        assert os.listdir(folder) == []


@pytest.mark.parametrize("program", ["pigz", "tar"])
def test_a_program_that_is_killed(
    image: Path, tmp_path: Path, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes = tmp_path / "bin"
    fakes.mkdir()
    (fakes / program).write_text("#!/bin/sh\nhead -c 100000 </dev/zero\nkill -9 $$\n")
    (fakes / program).chmod(0o755)
    if program == "tar" and not shutil.which("pigz"):
        unable("pigz is not there")
    monkeypatch.setenv("PATH", str(fakes), prepend=os.pathsep)
    out = tmp_path / "out"
    out.mkdir()
    (out / "out.tar.gz").write_text("an older one")
    with pytest.raises(SparseError, match=rf"{program} failed \(-9\)"):
        write(image, out / "out.tar.gz", compressor="pigz")
    assert (out / "out.tar.gz").read_text() == "an older one"
    assert os.listdir(out) == ["out.tar.gz"]


@pytest.mark.parametrize("name", ["out.tgz", "out.tar", "out", "out.tar.gz.old"])
def test_other_names_are_refused(name: str, image: Path, tmp_path: Path) -> None:
    """Compute Engine imports an object only if its name ends in .tar.gz."""
    write(image, tmp_path / "out.tar.gz", level=1)
    (tmp_path / "out.tar.gz").rename(tmp_path / name)
    for work in (lambda: check(tmp_path / name), lambda: write(image, tmp_path / name)):
        with pytest.raises(Unsupported, match=rf"{name}: .* names that end in \.tar\.gz"):
            work()


def test_commands(image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tarball = tmp_path / "out.tar.gz"
    assert main(["tarball", str(image), str(tarball), "--level", "9"]) == 0
    assert "a disk of 1.0 GiB, 804.0 KiB of it stored" in capsys.readouterr().out
    assert main(["check", str(tarball)]) == 0
    assert main(["check", str(tarball), str(image)]) == 0
    capsys.readouterr()
    for arguments in (
        ["check", str(image)],
        ["check", str(tmp_path / "nowhere")],
        ["check", str(tmp_path)],
        ["check", str(tarball), str(tmp_path / "nowhere")],
        ["tarball", str(tmp_path / "nowhere"), str(tarball)],
        ["tarball", str(tmp_path), str(tarball)],
        ["tarball", str(image), str(tmp_path)],
        ["tarball", str(image), str(tmp_path / "nowhere" / "out.tar.gz")],
    ):
        assert main(arguments) == 1, arguments
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith("bvz-sparse: error: ")
    for arguments in (["tarball", "x"], ["tarball", "x", "y", "--level", "0"], ["check"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
