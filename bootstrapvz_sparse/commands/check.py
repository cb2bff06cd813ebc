"""``bvz-sparse check``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

from ..image.tarball import check
from ..render.text import tarball_text
from ..util.signals import interrupt_once
from .debug import add_debug
from .streams import about, print_output


class Options(NamedTuple):
    """The arguments of the command."""

    tarball: Path
    image: Path | None
    debug: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("tarball", type=Path, metavar="TARBALL", help="tarball to check")
    parser.add_argument(
        "image",
        type=Path,
        nargs="?",
        metavar="IMAGE",
        help="raw image to compare with the tarball",
    )
    add_debug(parser)


def run(arguments: argparse.Namespace) -> int:
    """Read the tarball as Compute Engine does; return the exit code."""
    options = Options(**vars(arguments))
    with interrupt_once(), about(options.tarball):
        tarball = check(options.tarball, options.image)
    print_output(tarball_text(options.tarball, tarball))
    return 0
