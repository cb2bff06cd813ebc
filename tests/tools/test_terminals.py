"""The commands on a terminal: colours, progress, and Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from bootstrapvz_sparse.cli import main
from tests.support.commands import COMMAND, LIMIT, PLAIN, whole_ext4

MIB = 1 << 20


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return whole_ext4(tmp_path)


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
