"""Programs of others: ended when we are interrupted; the method ``command``."""

from __future__ import annotations

import functools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bootstrapvz_sparse.cli import main
from bootstrapvz_sparse.image.extents import allocated
from tests.support.methods import (
    IMAGE,
    make_whole,
)
from tests.support.used import assert_holds

pytestmark = pytest.mark.loop


@pytest.mark.parametrize(
    ("number", "ignoring"),
    [
        (signal.SIGINT, False),
        (signal.SIGTERM, False),
        (signal.SIGHUP, False),
        (signal.SIGTERM, True),
    ],
)
def test_interrupted(
    number: signal.Signals,
    ignoring: bool,
    make: Callable[..., Path],
    used: tuple[Path, dict[str, bytes]],
    fake: Callable[[str, str], Path],
    tmp_path: Path,
) -> None:
    """The program has a child of its own, which may not stay either."""
    pids = tmp_path / "pids"
    fake(
        "cp",
        f"{'trap : TERM' if ignoring else ''}\nhead -c 9999 $from >$to\n"
        f"sleep 60 & echo $$ $! >{pids}.new; mv {pids}.new {pids}\n"
        "while :; do wait; sleep 60; done",
    )
    image = make_whole(make, "ext4")
    inode = image.stat().st_ino
    command = [
        sys.executable,
        "-c",
        PATIENT if ignoring else "from bootstrapvz_sparse.cli import *",
    ]
    command[2] += "; sys.exit(main())"
    with subprocess.Popen(
        [*command, "sparsify", "--method", "copy", image],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for(pids.exists)
        assert [each.name for each in image.parent.iterdir() if each.name.startswith(".image.")]
        process.send_signal(number)
        said = process.communicate(timeout=30)[1]
    assert process.returncode == 1
    assert said.splitlines()[-1] == "bvz-sparse: error: interrupted"
    assert {each.name for each in image.parent.iterdir()} <= {"image", "lost+found"}
    assert image.stat().st_ino == inode
    assert_holds(image, used[1], tmp_path)
    for pid in pids.read_text().split():
        wait_for(functools.partial(gone, pid))


PATIENT = (
    "from bootstrapvz_sparse.util import programs; programs.TIME_TO_END = 0.5; "
    "from bootstrapvz_sparse.cli import *"
)


def gone(pid: str) -> bool:
    """Return whether no process of that number runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_everything_that_a_command_starts_ends_with_us(
    number: signal.Signals, make: Callable[..., Path], tmp_path: Path
) -> None:
    """The shell, its child, and a grandchild in a session of its own."""
    image = make("ext4")
    pids = tmp_path / "pids"
    script = tmp_path / "script"
    script.write_text(
        "#!/bin/sh\n"
        f"setsid sh -c 'echo $$ >>{pids}; exec sleep 100' &\n"
        f"sh -c 'echo $$ >>{pids}; exec sleep 100' &\n"
        f"echo $$ >>{pids}; wait\n"
    )
    script.chmod(0o755)
    command = [sys.executable, "-m", "bootstrapvz_sparse.cli", "sparsify"]
    with subprocess.Popen(
        [*command, "--method", "command", "--command", str(script), str(image)],
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 3)
        process.send_signal(number)
    wait_for(lambda: all(map(gone, pids.read_text().split())))


def test_what_a_command_gets(
    make: Callable[..., Path], fake: Callable[[str, str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    program = fake("sparser", 'fallocate --dig-holes "$to"')
    image = make("ext4", "a b;touch c $(touch d) `touch e`\n*")
    status = main(
        ["sparsify", "--method", "command", "--command", "sparser -x 'two words' $HOME", str(image)]
    )
    assert status == 0, capsys.readouterr().err
    arguments = program.with_name("sparser.arguments").read_text()
    # a path of the open image, which no renaming changes
    assert re.fullmatch(rf"-x\ntwo words\n\$HOME\n/proc/{os.getpid()}/fd/\d+\n", arguments)
    assert {each.name for each in image.parent.iterdir()} == {image.name, "lost+found"}
    assert allocated(image.stat()) < IMAGE / 2


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("sh -c 'echo first >&2; echo no >&2; exit 7' sh", r"sh failed \(7\): no$"),
        ("sh -c 'echo only here; exit 7' sh", r"sh failed \(7\): only here$"),
        ("false", r"false failed \(1\): no error message$"),
        ("not-there -x", "command: not-there is not installed$"),
        ("/etc/passwd", "command: /etc/passwd is not installed$"),
        ("", "command: needs a command "),
    ],
)
def test_a_command_that_fails(
    command: str,
    error: str,
    make: Callable[..., Path],
    used: tuple[Path, dict[str, bytes]],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    image = make("ext4")
    assert main(["sparsify", "--method", "command", "--command", command, str(image)]) == 1
    said = capsys.readouterr().err
    assert re.search(rf"^bvz-sparse: error: {re.escape(str(image))}: {error}", said, re.M), said
    assert_holds(image, used[1], tmp_path)
