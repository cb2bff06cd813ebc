"""The fenced blocks, links and anchors of the pages, and a program that prints the commands of one.

    python -m tests.docs.pages docs/tutorial-kvm.md

prints a shell script: everything in the ``sh`` blocks of the page, top to bottom, and what is
behind a prompt in its ``console`` blocks. Standard library only.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
FENCE = re.compile(r"^(```+)(\S*)[^\n]*\n(.*?)^\1$", re.M | re.S)
PROMPT = re.compile(r"^[#$] ", re.M)


class Block(NamedTuple):
    """A fenced block: its language, its text, the line of the page that it begins in."""

    language: str
    text: str
    line: int


def pages() -> list[Path]:
    """Return all pages: those of the top folder and those of docs."""
    inside = (p for p in DOCS.rglob("*.md") if "_build" not in p.parts)
    return [*sorted(ROOT.glob("*.md")), *sorted(inside)]


def links(page: Path) -> list[str]:
    """Return the targets of all links and pictures of the page that lead to this repository."""
    text = FENCE.sub("", page.read_text())
    targets = re.findall(r"\]\(([^)\s]+)\)|<img[^>]* src=\"([^\"]+)\"", text)
    return [one for pair in targets for one in pair if one and not re.match(r"\w+:", one)]


def anchors(page: Path) -> set[str]:
    """Return the anchors of the page's headings, as GitHub makes them.

    Source: html-pipeline, TableOfContentsFilter.
    """
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *$", FENCE.sub("", page.read_text()), re.M):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)  # a link shows its text
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of the page, top to bottom."""
    text = page.read_text()
    for match in FENCE.finditer(text):
        yield Block(match[2], match[3], text.count("\n", 0, match.start()) + 2)


def commands(page: Path) -> str:
    """Return a script of all commands on the page."""
    parts = ["set -eu\n"]
    for block in blocks(page):
        if block.language == "sh":
            parts.append(block.text)
        elif block.language == "console":
            parts.append(_behind_prompts(block.text))
    return "".join(parts)


def _behind_prompts(text: str) -> str:
    """Return the commands of a console, continued after a backslash, without their output."""
    lines, goes_on = [], False
    for line in text.splitlines():
        if goes_on or PROMPT.match(line):
            lines.append(line if goes_on else line[2:])
            goes_on = line.endswith("\\")
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    print(commands(Path(sys.argv[1])), end="")
