"""``bvz-sparse check``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .output import add_debug
from .tarball import packed


def add(commands: Any) -> None:
    check = commands.add_parser(
        "check", help="read a tarball back as Google Compute Engine does, and say what is wrong"
    )
    check.add_argument("tarball", type=Path, metavar="TARBALL", help="what to read")
    check.add_argument(
        "image", type=Path, nargs="?", metavar="IMAGE", help="that must be the disk in it"
    )
    add_debug(check)
    check.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from ..image.tarball import check

    def work(tarball: Path) -> Any:
        return check(tarball, options.image)

    return packed(options.tarball, work, options.tarball, debug=options.debug)
