"""``bvz-sparse tarball``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

from ..image.tarball import COMPRESSORS, LEVEL, write
from ..render.text import tarball_text
from ..util.signals import interrupt_once
from .debug import add_debug
from .streams import about, print_output


class Options(NamedTuple):
    """The arguments of the command."""

    image: Path
    tarball: Path
    compressor: str
    level: int
    debug: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("image", type=Path, metavar="IMAGE", help="raw image")
    parser.add_argument("tarball", type=Path, metavar="OUT.tar.gz", help="tarball to write")
    parser.add_argument(
        "--compressor",
        choices=COMPRESSORS,
        default="auto",
        help="compression program (default: %(default)s: pigz, or gzip if pigz is missing)",
    )
    parser.add_argument(
        "--level",
        type=int,
        choices=range(1, 10),
        default=LEVEL,
        metavar="1..9",
        help="compression level, from fastest to smallest (default: %(default)s)",
    )
    add_debug(parser)


def run(arguments: argparse.Namespace) -> int:
    """Pack the image and check the tarball; return the exit code."""
    options = Options(**vars(arguments))
    with interrupt_once(), about(options.image):
        tarball = write(
            options.image, options.tarball, compressor=options.compressor, level=options.level
        )
    print_output(tarball_text(options.tarball, tarball))
    return 0
