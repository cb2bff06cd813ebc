"""Commands, files and settings that the pages name exist."""

from __future__ import annotations

import doctest
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from bootstrapvz_sparse.cli import full_parser
from tests.docs.pages import DOCS, ROOT, anchors, blocks, commands, links, pages

TUTORIALS = sorted(DOCS.glob("tutorial-*.md"))
WITH_COMMANDS = [page for page in pages() if commands(page) != "set -eu\n"]
OF_A_WORD = re.compile(r"[A-Z_]+=")


def words(page: Path) -> list[list[str]]:
    """Return each command of the page as a list of words."""
    script = commands(page).replace("\\\n", " ")
    return [shlex.split(line, comments=True) for line in script.splitlines() if line.strip()]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_there_are_tutorials() -> None:
    assert len(TUTORIALS) >= 2 and set(TUTORIALS) <= set(WITH_COMMANDS)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name)
def test_commands_are_shell(page: Path) -> None:
    subprocess.run(["sh", "-n"], input=commands(page), text=True, check=True)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name)
def test_commands_are_ours(page: Path) -> None:
    """Options and subcommands exist in the parsers, targets in the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for line in words(page):
        program, arguments = Path(line[0]).name, line[1:] if line else []
        if program == "bvz-sparse":
            full_parser().parse_args(arguments)  # ends the test with its message where it cannot
        elif program == "make":
            asked = [word for word in arguments if "=" not in word]
            assert asked and set(asked) <= targets, line


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name)
def test_files_are_there(page: Path) -> None:
    for line in words(page):
        for word in line:
            path = OF_A_WORD.sub("", word)
            if re.match(r"(manifests|docs|tests|bootstrapvz_sparse)/", path):
                assert (ROOT / path).exists(), line


def test_commands_of_a_console_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "text\n\n```console\n# one \\\n  more\nprinted\n$ two\n```\n\n```sh\nthree\n```\n"
        "\n```text\nprinted\n```\n"
    )
    assert commands(page) == "set -eu\none \\\n  more\ntwo\nthree\n"


@pytest.mark.parametrize("page", pages(), ids=name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    """Every relative link and anchor resolves where GitHub shows the pages."""
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if path.startswith("_generated/"):  # made when the pages are built
            assert target.name in (DOCS / "make_pictures.py").read_text()
        else:
            assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_links_and_anchors_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# `reclaim`: free  blocks (ext4)\n\n## Twice\n## [Twice](x.md)\n\n```sh\n# [no](no.md)\n"
        '```\n[one\nmore](two.md#three) <img width="1" src="a.svg"> [out](https://example.org)\n'
    )
    assert links(page) == ["x.md", "two.md#three", "a.svg"]
    assert anchors(page) == {"reclaim-free--blocks-ext4", "twice", "twice-1"}


@pytest.mark.parametrize("page", pages(), ids=name)
def test_python_examples(page: Path) -> None:
    globals_: dict[str, object] = {}
    runner = doctest.DocTestRunner()
    for block in blocks(page):
        if block.language == "pycon":
            example = doctest.DocTestParser().get_doctest(
                block.text, globals_, name(page), str(page), block.line
            )
            runner.run(example, clear_globs=False)
            globals_ = example.globs
    assert runner.summarize().failed == 0


def test_manifests_on_pages_are_yaml() -> None:
    import yaml

    for page in pages():
        for block in blocks(page):
            if block.language in ("yaml", "yml"):
                assert yaml.safe_load(block.text), f"{name(page)}:{block.line}"


def test_readme_has_every_setting() -> None:
    """The table of settings has the titles of the schema."""
    import yaml

    from bootstrapvz_sparse.plugin.validation import SCHEMA

    schema = yaml.safe_load(SCHEMA.read_text())
    keys = schema["properties"]["plugins"]["properties"]["sparse"]["properties"]
    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", (ROOT / "README.md").read_text(), re.M)
    assert rows == [(key, value["title"]) for key, value in keys.items()]


@pytest.mark.parametrize("page", pages(), ids=name)
def test_nothing_of_a_machine(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r"/home/|/tmp/[a-z]|localhost:\d|mirror/", text)
