"""``bvz-sparse sparsify``."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from ..util.text import parse_size
from .output import add_debug, each, progress


def add(commands: Any) -> None:
    from ..image.methods import METHODS
    from ..image.reclaim import RECLAIM

    sparsify = commands.add_parser("sparsify", help="make finished raw images sparse")
    sparsify.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="a raw image")
    sparsify.add_argument(
        "--method",
        choices=["auto", *METHODS],
        default="auto",
        help="how zeros become holes; none: only what --reclaim frees (default: %(default)s)",
    )
    sparsify.add_argument(
        "--reclaim",
        choices=RECLAIM,
        default=RECLAIM[0],
        help="what is done about free blocks: told by the filesystem's metadata, discarded by the "
        "kernel, or nothing (default: %(default)s: what is known there)",
    )
    sparsify.add_argument(
        "--min-hole",
        type=_size,
        default=0,
        metavar="SIZE",
        help="punch no shorter holes; 64KiB, say, keeps the extents of the image few",
    )
    sparsify.add_argument(
        "--command",
        type=shlex.split,
        default=(),
        metavar="COMMAND",
        help="the program of --method command; it gets the image as its last argument",
    )
    sparsify.add_argument("--dry-run", action="store_true", help="change nothing, print the plan")
    sparsify.add_argument(
        "--verify", action="store_true", help="prove that no byte in use has changed"
    )
    sparsify.add_argument("--json", action="store_true", help="print the report as JSON")
    sparsify.add_argument("--quiet", action="store_true", help="print nothing but errors")
    add_debug(sparsify)
    sparsify.set_defaults(run=run)


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run(options: argparse.Namespace) -> int:
    from ..image.sparsify import sparsify

    def one(path: Path) -> Any:
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

    def as_json(report: Any) -> dict[str, Any]:
        from ..render.text import report_json

        return report_json(report)

    def as_text(report: Any) -> str:
        from ..render.text import report_text

        return report_text(report)

    return each(
        options, one, as_json=as_json, as_text=None if options.quiet else as_text, changes=True
    )
