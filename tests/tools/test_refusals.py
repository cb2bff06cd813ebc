"""Files that sparsify and inspect refuse, in one line."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from bootstrapvz_sparse.cli import main
from bootstrapvz_sparse.image.extents import allocated
from tests.support.commands import printed, whole_ext4
from tests.support.nobody import as_nobody
from tests.support.unable import unable

MIB = 1 << 20


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return whole_ext4(tmp_path)


def special(kind: str, folder: Path) -> Path:
    path = folder / kind
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(path))
    elif kind == "empty":
        path.touch()
    elif kind == "device":
        return Path("/dev/null")
    elif kind == "loop of links":
        path.symlink_to(path)
    elif kind == "locked by flock" or kind == "locked as by QEMU":
        path.write_bytes(bytes(MIB))
    elif kind == "path through a file":
        (folder / "file").touch()
        return folder / "file" / "image"
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "No such file or directory"),
        ("directory", "a directory, not a regular file"),
        ("fifo", "a fifo, not a regular file"),
        ("socket", "a socket, not a regular file"),
        ("device", "a character device, not a regular file"),
        ("empty", "the file is empty"),
        ("loop of links", "Too many levels of symbolic links"),
        ("path through a file", "Not a directory"),
    ],
)
@pytest.mark.parametrize("command", ["sparsify", "inspect"])
def test_refuses_files_that_are_not_images(
    command: str, kind: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = special(kind, tmp_path)
    assert main([command, str(path)]) == 1
    out, [line] = printed(capsys)
    assert (out, line) == ("", f"bvz-sparse: error: {path}: {message}")


def test_refuses_locked_image(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with image.open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_SH)
        assert main(["sparsify", str(image)]) == 1
    assert "locked by " in printed(capsys)[1][0]
    assert allocated(image.stat()) >= 32 * MIB


def test_refuses_image_of_a_virtual_machine(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    qemu = "qemu-io"
    try:
        process = subprocess.Popen(
            [qemu, "-f", "raw", image], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
    except FileNotFoundError:
        unable(f"{qemu}: not installed")
    with process:
        assert process.stdin and process.stdout
        process.stdin.write(b"length\n")
        process.stdin.flush()
        process.stdout.readline()  # the image is open now
        assert main(["sparsify", str(image)]) == 1
        process.stdin.close()
    assert "locked by qemu-io (PID " in printed(capsys)[1][0]
    assert main(["sparsify", str(image)]) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become nobody")
def test_reports_missing_permission(image: Path) -> None:
    image.chmod(0o444)
    for folder in (image.parent, *image.parent.parents):
        if stat.S_IMODE(folder.stat().st_mode) & 0o5 != 0o5 and "pytest" in str(folder):
            folder.chmod(0o755)

    def refused() -> None:
        with contextlib.redirect_stderr(io.StringIO()) as errors:
            assert main(["sparsify", str(image)]) == 1
        assert errors.getvalue() == f"bvz-sparse: error: {image}: Permission denied\n"

    as_nobody(refused)
