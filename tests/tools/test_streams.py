"""Standard streams that are closed, full or gone, and colours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bootstrapvz_sparse.commands import streams
from tests.support.manifests import write

COMMAND = f"{sys.executable} -m bootstrapvz_sparse.cli"
PLAIN = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def run(script: str, **more: str) -> tuple[int, str]:
    """Run a shell script with the command as ``$c``; return its exit code and its stderr."""
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env={**PLAIN, "c": COMMAND, **more},
    )
    return done.returncode, done.stderr


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(bytes(1 << 20))
    return path


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("$c inspect image | true", "Broken pipe"),
        ("$c inspect image image >/dev/full", "No space left on device"),
        ("$c inspect --json image >/dev/full", "No space left on device"),
        ("$c sparsify image >/dev/full", "No space left on device"),
        ("$c inspect image >&-", "closed"),
    ],
)
def test_reports_output_that_is_lost(
    script: str, reason: str, unbuffered: str, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(image.parent)
    place = Path(__file__).parent.parent.parent
    status, errors = run(script, PYTHONUNBUFFERED=unbuffered, PYTHONPATH=str(place))
    assert (status, errors) == (1, f"bvz-sparse: error: standard output: {reason}\n")


def test_lost_output_does_not_stop_sparsify(image: Path) -> None:
    other = image.with_name("other")
    other.write_bytes(bytes(1 << 20))
    assert run(f"$c sparsify {image} {other} >&-")[0] == 1
    assert other.stat().st_blocks == 0
    other.write_bytes(bytes(1 << 20))
    assert run(f"$c sparsify {image} {other} >/dev/full", PYTHONUNBUFFERED="1")[0] == 1
    assert other.stat().st_blocks == 0


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("$c inspect /none 2>/dev/full", 1),
        ("$c inspect /none 2>&-", 1),
        ("$c --help >/dev/full", 1),
        ("$c bogus 2>/dev/full", 2),
        ("$c --version >&- 2>&-", 0),
    ],
)
def test_exit_code_reports_lost_errors(script: str, expected: int) -> None:
    status, errors = run(script)
    assert status == expected and "Traceback" not in errors and "Exception" not in errors


def test_errors_never_go_to_stdout(image: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{COMMAND} inspect /none 2>&-"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, "")


def test_build_reports_lost_output(tmp_path: Path) -> None:
    status, errors = run(f"$c build --dry-run --log - {write(tmp_path)} 2>/dev/full")
    assert (status, errors) == (1, "")


def test_debug_shows_programs_and_tracebacks(image: Path) -> None:
    status, errors = run(f"$c sparsify --debug {image}")
    assert status == 0 and "Executing: " in errors and "blkid" in errors
    status, errors = run("$c inspect --debug /none")
    *trace, last = errors.splitlines()
    assert status == 1 and last == "bvz-sparse: error: /none: No such file or directory"
    assert trace[0].startswith("Traceback")
    for command in ("tarball --debug /none x", "check --debug /none"):
        assert run(f"$c {command}")[1].startswith("Traceback")


class Terminal:
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "terminal", "pipe"),
    [
        ({}, True, False),
        ({"NO_COLOR": ""}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
        ({"TERM": "dumb"}, False, False),
    ],
)
def test_colours(
    environment: dict[str, str], terminal: bool, pipe: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with open(os.devnull) as nowhere:
        assert streams.coloured(Terminal()) == terminal  # type: ignore[arg-type]
        assert streams.coloured(nowhere) == pipe and not streams.on_terminal(nowhere)
    assert not streams.on_terminal(None)
