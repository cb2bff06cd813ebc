"""``bvz-sparse sparsify``."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..image.api import Report, sparsify
from ..image.methods import METHODS
from ..image.reclaim import RECLAIM
from ..render.json import report_json
from ..render.text import report_text
from ..util.text import parse_size
from .debug import add_debug
from .output import each, progress


class Options(NamedTuple):
    """The arguments of the command."""

    images: Sequence[Path]
    method: str
    reclaim: str
    min_hole: int
    command: Sequence[str]
    dry_run: bool
    verify: bool
    json: bool
    quiet: bool
    debug: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="raw image")
    parser.add_argument(
        "--method",
        choices=["auto", *METHODS],
        default="auto",
        help="how to turn zeros into holes; none: only free unused blocks, see --reclaim "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--reclaim",
        choices=RECLAIM,
        default=RECLAIM[0],
        help="how to free unused blocks: auto and metadata use the filesystem's metadata, discard "
        "lets the kernel discard them (FITRIM, needs root), none keeps them, which is required for "
        "an image with a hash tree in another file (default: %(default)s)",
    )
    parser.add_argument(
        "--min-hole",
        type=_size,
        default=0,
        metavar="SIZE",
        help="skip holes shorter than SIZE (e.g. 64KiB): fewer extents, but slightly more space",
    )
    parser.add_argument(
        "--command",
        type=shlex.split,
        default=(),
        metavar="COMMAND",
        help="program for --method command, with arguments; a path of the open image is appended",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan; change nothing")
    parser.add_argument(
        "--verify", action="store_true", help="prove afterwards that no byte in use has changed"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--quiet", action="store_true", help="print only errors")
    add_debug(parser)


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run(arguments: argparse.Namespace) -> int:
    """Sparsify each image and print a report for each; return the exit code."""
    options = Options(**vars(arguments))

    def work(path: Path) -> Report:
        with progress(path, quiet=options.quiet) as show:
            return sparsify(
                path,
                method=options.method,
                reclaim=options.reclaim,
                min_hole=options.min_hole,
                command=options.command,
                verify=options.verify,
                dry_run=options.dry_run,
                progress=show,
            )

    return each(
        options.images,
        work,
        as_json=report_json if options.json else None,
        as_text=None if options.quiet else report_text,
        changes=True,
        debug=options.debug,
    )
