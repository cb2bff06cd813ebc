"""Shell completion and manual pages, both generated from the parser."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bootstrapvz_sparse.cli import full_parser
from bootstrapvz_sparse.commands import SHELLS
from tests.support.unable import need

SOURCE = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "bootstrapvz_sparse.cli"]
COMMANDS = ("build", "clean", "sparsify", "inspect", "tarball", "check", "report")
# what bash does when Tab is pressed, for the function that it was told of
COMPLETE = """
source "$1"; shift
_filedir() { :; }
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
words=$(complete -p bvz-sparse) && [[ $words =~ -F\\ ([^ ]+) ]]
"${BASH_REMATCH[1]}" bvz-sparse "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def completion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("completion")
    subprocess.run([sys.executable, SOURCE / "tools" / "completion.py", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def man(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("man")
    subprocess.run([sys.executable, SOURCE / "tools" / "man.py", folder], check=True)
    return folder


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sp"], {"sparsify"}),
        (["sparsify", "--me"], {"--method"}),
        (["sparsify", "--method", "p"], {"punch"}),
        (["build", "--partition-mapper", "l"], {"loop"}),
        (["sparsify", "im"], {"image.raw", "images"}),
        (["clean", "im"], {"images"}),
        (["build", "--log", "im"], {"images"}),
    ],
)
def test_bash(words: list[str], expected: set[str], completion: Path, tmp_path: Path) -> None:
    (tmp_path / "image.raw").touch()
    (tmp_path / "images").mkdir()
    script = completion / "bvz-sparse"
    command = ["bash", "--norc", "-c", COMPLETE, "bash", script, "bvz-sparse", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert {line.rstrip("/ ") for line in done.stdout.split()} == expected


@pytest.mark.parametrize("shell", SHELLS)
def test_all_commands_and_options(shell: str, completion: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--print-completion", shell], capture_output=True, text=True, check=True
    )
    assert done.stdout in [path.read_text() for path in completion.iterdir()]
    for word in (*COMMANDS, "method", "partition-mapper", "virt-sparsify-copy"):
        assert word in done.stdout
    need(shell)
    subprocess.run([shell, "-n", "-c", done.stdout], check=True)


def test_without_shtab() -> None:
    code = (
        "import sys; sys.modules['shtab'] = None\n"
        "from bootstrapvz_sparse.cli import main; main(['--print-completion', 'bash'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("bvz-sparse: error: shtab: not installed (pip install ")


def test_nothing_of_it_at_the_start() -> None:
    """Nor what only builds need: the other commands do without any other library."""
    code = (
        "import sys; from bootstrapvz_sparse.cli import full_parser; full_parser()\n"
        "print({'shtab', 'argparse_manpage', 'yaml', 'jsonschema', 'rich', 'bootstrapvz'}"
        " & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_build_without_bootstrap_vz(tmp_path: Path) -> None:
    """As by the Debian package: what is missing is said, not that its libraries are."""
    command = ["-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n"
               "from bootstrapvz_sparse.cli import main; sys.exit(main())"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, *command, "build", "--dry-run", tmp_path / "manifest.yml"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("bvz-sparse: error: bootstrap-vz is not installed (")


def test_a_page_for_each_command(man: Path) -> None:
    pages = {path.name for path in man.iterdir()}
    assert pages == {"bvz-sparse.1", *(f"bvz-sparse-{command}.1" for command in COMMANDS)}
    assert all(command in full_parser().format_help() for command in COMMANDS)


def test_pages_are_clean_and_name_their_options(man: Path) -> None:
    need("man")
    for page in man.iterdir():
        done = subprocess.run(
            ["man", "--warnings", "--local-file", page],
            capture_output=True,
            text=True,
            env={"MANWIDTH": "80", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        )
        assert done.returncode == 0 and done.stderr == ""
        assert f"{page.stem} - " in done.stdout
    sparsify = subprocess.run(
        ["man", "--local-file", man / "bvz-sparse-sparsify.1"], capture_output=True, text=True
    )
    for option in ("--method", "--reclaim", "--min-hole", "--verify"):
        assert option in sparsify.stdout
