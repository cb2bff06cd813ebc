"""Write the man pages with argparse-manpage: python tools/man.py FOLDER.

There is a page for bvz-sparse(1) and one for each command, as bvz-sparse-build(1). The script
writes the sections before and after the options itself, since they differ between the versions of
argparse-manpage.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from pathlib import Path

HOME = Path(__file__).parent.parent
sys.path.insert(0, str(HOME))

try:
    from argparse_manpage.manpage import Manpage
except ModuleNotFoundError:  # of Debian 12
    from build_manpages.manpage import Manpage

from bootstrapvz_sparse import __version__  # noqa: E402
from bootstrapvz_sparse.cli import full_parser  # noqa: E402

TITLE = "build sparse Debian images, and make finished raw images sparse"
EXIT = """.SH "EXIT STATUS"
0: done. 1: refused or failed; a line on standard error gives the reason. 2: bad usage.
"""
EXAMPLES = r""".SH EXAMPLES
.TP
.B bvz\-sparse sparsify \-\-dry\-run disk.raw
Show the space that would be freed, by partition.
.TP
.B bvz\-sparse sparsify \-\-verify disk.raw
Free it, and prove that no byte in use has changed.
.TP
.B bvz\-sparse build \-\-log log manifest.yml
Build an image, as root.
"""


def main(folder: Path) -> None:
    """Write the pages into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = full_parser()
    [commands] = [a for a in whole._actions if isinstance(a, argparse._SubParsersAction)]
    helps = {f"{whole.prog}-{c.dest}": c.help or "" for c in commands._choices_actions}
    for page, parser in zip(helps, commands.choices.values()):
        text = _page(page, helps[page], parser) + EXIT + _see_also([whole.prog])
        (folder / f"{page}.1").write_text(text)
    _drop(whole, commands)  # they have pages of their own
    listed = [f".TP\n.BR {_escaped(page)} (1)\n{_escaped(helps[page])}\n" for page in helps]
    text = _page(whole.prog, TITLE, whole, after="COMMAND ...")
    text += ".SH COMMANDS\n" + "".join(listed) + EXIT + EXAMPLES + _see_also(list(helps))
    (folder / f"{whole.prog}.1").write_text(text)


def _page(page: str, title: str, parser: argparse.ArgumentParser, *, after: str = "") -> str:
    """Return the part of the page that comes from ``parser``."""
    now = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    date = time.strftime("%Y-%m-%d", time.gmtime(now))
    parser.description = None
    lines = str(Manpage(parser)).splitlines()
    start = lines.index(".SH SYNOPSIS")
    _, program, usage = lines[start : start + 3]
    options = [line for line in lines[start + 3 :] if line and not line.startswith(".SH")]
    return "\n".join(
        [
            f'.TH {page.upper()} 1 {date} "bootstrapvz-sparse {__version__}" "User Commands"',
            f".ad l\n.SH NAME\n{_escaped(page)} \\- {_escaped(title)}",
            f".SH SYNOPSIS\n{_escaped(program)}\n{_escaped(usage)} {after}".rstrip(),
            f".SH DESCRIPTION\n{_escaped(title[0].upper() + title[1:])}.",
            ".SH OPTIONS",
            *options,
            "",
        ]
    )


def _drop(parser: argparse.ArgumentParser, unwanted: argparse.Action) -> None:
    for group in parser._action_groups:
        if unwanted in group._group_actions:
            group._group_actions.remove(unwanted)
    parser._actions.remove(unwanted)


def _see_also(pages: list[str]) -> str:
    listed = " ,\n.BR ".join(f"{_escaped(page)} (1)" for page in pages)
    return f'.SH "SEE ALSO"\n.BR {listed}\n'


def _escaped(text: str) -> str:
    return re.sub(r"(?<!\\)-", r"\\-", text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
