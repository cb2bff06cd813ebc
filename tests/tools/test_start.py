"""Starting bvz-sparse: only the modules that the command needs are imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bootstrapvz_sparse.cli import COMMANDS

OTHERS = {"yaml", "jsonschema", "rich", "bootstrapvz", "shtab"}
HEAVY = {"pathlib", "subprocess", "shutil", "typing", "json", "logging", "tempfile"}


def loaded(code: str) -> set[str]:
    """Return the modules that Python has loaded after ``code``."""
    script = (
        f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint('\\n', *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.rpartition("\n ")[2].split())


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.startswith("bootstrapvz_sparse")}


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_imports_no_command_for_help_and_version(option: str) -> None:
    modules = loaded(f"from bootstrapvz_sparse.cli import main; main(['{option}'])")
    assert len(ours(modules)) <= 8, ours(modules)
    at_start = loaded("pass")  # some installations load more than others
    assert not modules & (OTHERS | HEAVY) - at_start


@pytest.mark.parametrize("name", COMMANDS)
def test_imports_the_named_command_alone(name: str) -> None:
    modules = loaded(f"from bootstrapvz_sparse.cli import main; main(['{name}', '--help'])")
    commands = {name for name in modules if name.startswith("bootstrapvz_sparse.commands.")}
    helpers = {"streams", "output", "pictures", "debug"}
    assert {module.rpartition(".")[2] for module in commands} - helpers == {name}
    assert not modules & OTHERS


def test_plugin_loads_nothing_at_import() -> None:
    assert ours(loaded("import bootstrapvz_sparse")) == {"bootstrapvz_sparse"}
