"""Run bvz-sparse sparsify and inspect as users do. Needs no root."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from bootstrapvz_sparse.cli import main
from bootstrapvz_sparse.image import inspect
from bootstrapvz_sparse.image.extents import allocated
from bootstrapvz_sparse.render.text import ROWS, block_map
from tests.support.ext import fill, mke2fs
from tests.support.nobody import as_nobody
from tests.support.unable import unable

MIB = 1 << 20
COMMAND = [sys.executable, "-m", "bootstrapvz_sparse.cli"]
LIMIT = 60  # seconds for a command
COLOURS = ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "TERM")
PLAIN = {name: value for name, value in os.environ.items() if name not in COLOURS}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An ext4 filesystem with files, deleted files and zeros, all of it allocated."""
    path = tmp_path / "image.raw"
    mke2fs(tmp_path / "sparse", ["-t", "ext4"], size=32 * MIB)
    fill(tmp_path / "sparse", seed=1)
    subprocess.run(["cp", "--sparse=never", tmp_path / "sparse", path], check=True)
    (tmp_path / "sparse").unlink()
    return path


def printed(capsys: pytest.CaptureFixture[str]) -> tuple[str, list[str]]:
    captured = capsys.readouterr()
    return captured.out, captured.err.splitlines()


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
    plan = inspect(path).plan
    drawn = block_map(plan.survey, plan.shares(), width=0)
    assert len(drawn.splitlines()) <= 2 * ROWS + 2


def test_colours_on_a_terminal_only(image: Path) -> None:
    command = [*COMMAND, "inspect", str(image)]
    for environment, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        text = on_a_terminal(command, environment)
        assert ("\033[38;5;25m█" in text) == coloured
    piped = subprocess.run(
        command,
        capture_output=True,
        check=True,
        timeout=LIMIT,
        env={**PLAIN, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ).stdout
    assert b"\033" not in piped and b"#" in piped  # only ASCII can be printed


def on_a_terminal(command: list[str], environment: dict[str, str]) -> str:
    """Return the output of a command on a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command,
        stdout=theirs,
        stderr=theirs,
        env={**PLAIN, "TERM": "xterm-256color", "PYTHONUTF8": "1", **environment},
    )
    os.close(theirs)
    stop = threading.Timer(LIMIT, process.kill)
    stop.start()
    shown = b""
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while chunk := os.read(ours, 65536):
            shown += chunk
    os.close(ours)
    status = process.wait()
    stop.cancel()
    assert status == 0, shown
    return shown.decode()


SHOW_PROGRESS_AT_ONCE = (
    "import bootstrapvz_sparse.cli as c, sys\n"
    "import bootstrapvz_sparse.commands.output as o; o.PATIENCE = o.INTERVAL = 0\n"
    "sys.exit(c.main(['sparsify', sys.argv[1]]))"
)


def test_progress_on_a_terminal_only(image: Path) -> None:
    command = [sys.executable, "-c", SHOW_PROGRESS_AT_ONCE, str(image)]
    shown = on_a_terminal(command, {})
    assert re.search(r"\rimage\.raw: \d+ % read", shown)
    progress, _, report = shown.rpartition("\r\033[K")
    assert "%" not in report and progress
    assert "%" not in on_a_terminal(command, {"TERM": "dumb"})
    piped = subprocess.run(command, capture_output=True, check=True, timeout=LIMIT, env=PLAIN)
    assert piped.stderr == b"" and b"%" not in piped.stdout


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
        ("directory", "is a directory, not a regular file"),
        ("fifo", "is a fifo, not a regular file"),
        ("socket", "is a socket, not a regular file"),
        ("device", "is a character device, not a regular file"),
        ("empty", "is empty"),
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
    assert out == "" and line.startswith("bvz-sparse: error: ")
    assert str(path) in line and message in line


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


def test_refuses_locked_image(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with image.open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_SH)
        assert main(["sparsify", str(image)]) == 1
    assert "is locked by another program" in printed(capsys)[1][0]
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
    assert "is locked by another program" in printed(capsys)[1][0]
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interruption_leaves_valid_image(
    number: signal.Signals, image: Path, tmp_path: Path
) -> None:
    """Interrupted while reading: a valid image, exit code 1, one line."""
    slow = (
        "import sys, time; from bootstrapvz_sparse import cli\n"
        "import bootstrapvz_sparse.image.zeros as z\n"
        "read = z._read\n"
        "def slowly(*a): print('.', flush=True); time.sleep(.2); read(*a)\n"
        "z._read = slowly; z.CHUNK = 65536\n"
        "sys.exit(cli.main(['sparsify', sys.argv[1]]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", slow, image],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # ignored where a shell started the tests in the background
        preexec_fn=partial(signal.signal, number, signal.SIG_DFL),
    ) as process:
        stop = threading.Timer(LIMIT, process.kill)
        stop.start()
        assert process.stdout
        process.stdout.readline()
        time.sleep(0.1)
        process.send_signal(number)
        _, errors = process.communicate()
        stop.cancel()
    assert (process.returncode, errors) == (1, b"bvz-sparse: error: interrupted\n")
    subprocess.run(["e2fsck", "-fn", image], check=True, capture_output=True)
    assert main(["sparsify", "--quiet", "--verify", str(image)]) == 0
