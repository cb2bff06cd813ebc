"""The command line: its table, its options, the form of errors, sizes."""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from pathlib import Path

import pytest
import yaml

from bootstrapvz_sparse.cli import COMMANDS, full_parser, main
from bootstrapvz_sparse.commands import streams
from bootstrapvz_sparse.plugin.validation import SCHEMA
from bootstrapvz_sparse.util.errors import OutputFailed, Unsupported
from bootstrapvz_sparse.util.text import SIZE_PATTERN, parse_size

KIB = 1024


def test_help_lists_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for name, (_, summary) in COMMANDS.items():
        assert re.search(rf"^    {name} +{re.escape(summary[:20])}", text, re.M)


@pytest.mark.parametrize("name", COMMANDS)
def test_options_are_the_arguments(name: str) -> None:
    """Each command's tuple has a field for each argument, and each argument has a help text."""
    [action] = [a for a in full_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    arguments = [a for a in action.choices[name]._actions if a.dest != "help"]
    module = importlib.import_module(f"bootstrapvz_sparse.commands.{COMMANDS[name][0]}")
    assert {argument.dest for argument in arguments} == set(module.Options._fields)
    assert all(argument.help for argument in arguments)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Unsupported("no holes here"), "disk.raw: no holes here"),
        (Unsupported("disk.raw: no holes here"), "disk.raw: no holes here"),
        (FileNotFoundError(2, "No such file or directory"), "disk.raw: No such file or directory"),
        (Unsupported("a\x1bb\nc"), r"disk.raw: a\x1bb\nc"),
        (OutputFailed("standard output: closed"), "standard output: closed"),
    ],
)
def test_errors_name_their_subject(
    error: Exception, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        with streams.about(Path("disk.raw")):
            raise error

    assert streams.attempt(fail) is None
    assert capsys.readouterr().err == f"bvz-sparse: error: {text}\n"


def test_width_is_that_of_shutil(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, width in (("72", 72), ("0", 80), ("x", 80), ("-1", 80)):
        monkeypatch.setenv("COLUMNS", value)
        monkeypatch.setattr(sys, "__stdout__", None)
        assert streams.columns() == width


SIZES = [
    ("0", 0),
    ("4096", 4096),
    ("7B", 7),
    ("64K", 64 * KIB),
    ("64k", 64 * KIB),
    ("64KB", 64 * KIB),
    ("64KiB", 64 * KIB),
    ("64 KiB", 64 * KIB),
    ("900MiB", 900 * KIB**2),
    ("2GiB", 2 * KIB**3),
    ("1T", KIB**4),
]
NOT_SIZES = ["", "x", "-1", "1.5MiB", "1PiB", "KiB", "5iB", "1 2", "1K2", "1KiBs", "٣K"]


@pytest.mark.parametrize(("text", "size"), SIZES)
def test_parses_size(text: str, size: int) -> None:
    assert parse_size(text) == parse_size(f" {text} ") == size


@pytest.mark.parametrize("text", NOT_SIZES)
def test_rejects_size(text: str) -> None:
    with pytest.raises(ValueError) as error:
        parse_size(text)
    assert str(error.value) == f"{text!r} is not a valid size (examples: 900MiB, 2GiB)"


def test_manifest_has_the_same_sizes() -> None:
    block = yaml.safe_load(SCHEMA.read_text())["properties"]["plugins"]["properties"]["sparse"]
    limit = block["properties"]["limit"]["properties"]
    for key in (block["properties"]["min_hole"], limit["allocated"], limit["tarball"]):
        assert key["pattern"] == SIZE_PATTERN
        assert key["expected"].endswith("(examples: 900MiB, 2GiB)")
