"""Reset the state inherited from the caller; skip the tests that this machine cannot run."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

from tests.support import caller
from tests.support.mounting import mounted
from tests.support.unable import unable

BUILD_PROGRAMS = (
    *("debootstrap", "mkfs.ext4", "parted", "qemu-img", "qemu-system-x86_64", "sfdisk", "zerofree"),
)


def pytest_configure() -> None:
    caller.reset()  # before test modules copy os.environ
    caller.separate_mounts()


@cache
def lack_of_loop() -> str:
    """Return why no filesystem can be mounted from a file here; "" if it can."""
    if shutil.which("mkfs.ext4") is None:
        return "the program mkfs.ext4 is not there"
    with tempfile.TemporaryDirectory() as folder:
        try:
            with mounted("ext4", Path(folder), 8 << 20):
                return ""
        except FileNotFoundError as error:
            return f"the program {error.filename} is not there"
        except subprocess.CalledProcessError as error:
            return f"no loop mounts: {error.stderr.strip()}"


@cache
def lack_of_build() -> str:
    missing = [program for program in BUILD_PROGRAMS if shutil.which(program) is None]
    return f"programs are not there: {', '.join(missing)}" if missing else lack_of_loop()


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, lack in (("loop", lack_of_loop), ("build", lack_of_build)):
        if item.get_closest_marker(marker) and lack():
            unable(lack())
