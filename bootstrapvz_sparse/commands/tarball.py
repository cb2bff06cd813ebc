"""``bvz-sparse tarball``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..util.signals import interrupt_once
from ..util.text import printable
from .output import add_debug, attempt
from .streams import say


def add(commands: Any) -> None:
    from ..image.tarball import COMPRESSORS, LEVEL

    tarball = commands.add_parser(
        "tarball", help="pack a raw image as Google Compute Engine imports it, and check that"
    )
    tarball.add_argument("image", type=Path, metavar="IMAGE", help="a raw image")
    tarball.add_argument("tarball", type=Path, metavar="OUT.tar.gz", help="the tarball to write")
    tarball.add_argument(
        "--compressor",
        choices=COMPRESSORS,
        default="auto",
        help="default: %(default)s: pigz where it is installed",
    )
    tarball.add_argument(
        "--level",
        type=int,
        choices=range(1, 10),
        default=LEVEL,
        metavar="1..9",
        help="the fastest to the smallest (default: %(default)s)",
    )
    add_debug(tarball)
    tarball.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from ..image.tarball import write

    def work(image: Path) -> Any:
        return write(image, options.tarball, compressor=options.compressor, level=options.level)

    return packed(options.image, work, options.tarball, debug=options.debug)


def packed(path: Path, work: Callable[[Path], Any], tarball: Path, *, debug: bool) -> int:
    """Do ``work`` on ``path``, and tell of the tarball."""
    from ..util.text import human

    with interrupt_once():
        found = attempt(path, work, debug=debug)
    if found is None:
        return 1
    sizes = (
        f"{human(found.size)}, a disk of {human(found.disk)}, {human(found.stored)} of it stored"
    )
    say(f"{printable(str(tarball))}: {sizes}")
    return 0
