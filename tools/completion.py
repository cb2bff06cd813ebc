"""Write a completion script for each shell that shtab knows: python tools/completion.py FOLDER.

The files get the names that the shells expect.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bootstrapvz_sparse.cli import full_parser
from bootstrapvz_sparse.commands import SHELLS
from bootstrapvz_sparse.commands.completion import script

NAMES = {"bash": "bvz-sparse", "zsh": "_bvz-sparse", "fish": "bvz-sparse.fish"}


def main(folder: Path) -> None:
    """Write the scripts into ``folder``."""
    import shtab

    folder.mkdir(parents=True, exist_ok=True)
    for shell in SHELLS:
        if shell in shtab.SUPPORTED_SHELLS:  # shtab of Debian 12 does not know fish
            (folder / NAMES[shell]).write_text(f"{script(full_parser(), shell)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
