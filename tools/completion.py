"""Write the completion for each shell that shtab knows: ``python tools/completion.py FOLDER``.

The files have the names under which the shells look for them.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bootstrapvz_sparse.cli import parser
from bootstrapvz_sparse.commands.completion import SHELLS, script

NAMES = {"bash": "bvz-sparse", "zsh": "_bvz-sparse", "fish": "bvz-sparse.fish"}


def main(folder: Path) -> None:
    import shtab

    folder.mkdir(parents=True, exist_ok=True)
    for shell in SHELLS:
        if shell in shtab.SUPPORTED_SHELLS:  # that of Debian 12 does not know fish
            (folder / NAMES[shell]).write_text(f"{script(parser(), shell)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
