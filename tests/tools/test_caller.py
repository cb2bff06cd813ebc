"""Tests do not depend on the state that they inherit: see tests/support/caller.py."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.mounting import mounted, run

ROOT = Path(__file__).parents[2]

REPORT = """
import subprocess
from tests.support import caller
caller.reset()
subprocess.run(["sh", "-c", "umask; env; cat /proc/self/status"], check=True)
"""
SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE}


def hostile() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    os.umask(0o777)


@pytest.fixture(scope="module")
def report() -> list[str]:
    """Lines that a child of a process prints after that process reset a hostile state."""
    environment = {
        "PATH": "/usr/bin:/bin:/tmp",
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "LC_NUMERIC": "de_DE",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "FORCE_COLOR": "1",
        "XDG_CACHE_HOME": "/nonexistent",
        "MAKEFLAGS": "n",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", REPORT],
        env=environment,
        preexec_fn=hostile,
        restore_signals=False,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", ["SigIgn", "SigBlk"])
def test_children_neither_ignore_nor_block_signals(name: str, report: list[str]) -> None:
    [mask] = [line.split()[1] for line in report if line.startswith(f"{name}:")]
    assert int(mask, 16) & sum(1 << number - 1 for number in SIGNALS) == 0


def test_umask_is_reset(report: list[str]) -> None:
    assert report[0] == "0022"


@pytest.mark.parametrize(
    "name", ["NO_COLOR", "FORCE_COLOR", "XDG_CACHE_HOME", "MAKEFLAGS", "LC_NUMERIC"]
)
def test_variable_is_removed(name: str, report: list[str]) -> None:
    assert not [line for line in report if line.startswith(f"{name}=")]


@pytest.mark.parametrize("line", ["TERM=xterm", "LC_ALL=C.UTF-8", "LANG=C.UTF-8"])
def test_variable_is_set(line: str, report: list[str]) -> None:
    assert line in report


def test_path_leads_to_programs_of_the_administrator(report: list[str]) -> None:
    [path] = [line.partition("=")[2] for line in report if line.startswith("PATH=")]
    assert {"/usr/bin", "/usr/sbin", "/sbin"} <= set(path.split(":"))


def test_home_exists_and_is_removed_afterwards(report: list[str]) -> None:
    [home] = [line.partition("=")[2] for line in report if line.startswith("HOME=")]
    assert home != "/nonexistent" and not Path(home).exists()


SEPARATED = """
import os, sys
from tests.support import caller
before = os.readlink("/proc/self/ns/mnt")
caller.separate_mounts()
assert before != os.readlink("/proc/self/ns/mnt")
assert not os.path.ismount(sys.argv[1])
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.loop
def test_separate_mounts_keep_no_loop_device_of_others(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        with mounted("ext4", tmp_path, 8 << 20) as point:
            process = subprocess.Popen(
                [sys.executable, "-c", SEPARATED, point],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            stack.enter_context(process)
            assert process.stdout and process.stdout.readline() == b"ready\n"
        assert process.poll() is None
        deadline = time.monotonic() + 10  # the kernel detaches it a little later
        while run("losetup", "--associated", tmp_path / "image-ext4"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
