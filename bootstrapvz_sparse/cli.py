"""The command ``bvz-sparse``."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from . import __version__, sizes
from .image.report import printable
from .signals import termination_interrupts


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 0 done, 1 refused or failed, 2 bad usage."""
    try:
        options = _parser().parse_args(arguments)
        status: int = options.run(options)
    except KeyboardInterrupt:
        print("bvz-sparse: error: interrupted", file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bvz-sparse", description="Sparse Debian images.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_build(commands)
    _add_sparsify(commands)
    _add_inspect(commands)
    _add_tarball(commands)
    _add_check(commands)
    return parser


def _add_build(commands: Any) -> None:
    from .upstream.partitions import MAPPERS

    build = commands.add_parser("build", help="build the image that a manifest describes")
    build.add_argument("manifest", type=Path, metavar="MANIFEST")
    build.add_argument(
        "--log",
        default="/var/log/bootstrap-vz",
        metavar="FOLDER",
        help="log into this folder (default: %(default)s), `-' for no log file",
    )
    build.add_argument("--debug", action="store_true", help="show all that is logged")
    build.add_argument("--dry-run", action="store_true", help="do not run the tasks, show them")
    build.add_argument(
        "--pause-on-error", action="store_true", help="wait for Enter before the rollback"
    )
    build.add_argument("--color", choices=["auto", "always", "never"], default="auto")
    build.add_argument(
        "--partition-mapper",
        choices=MAPPERS,
        default="auto",
        help="what maps the partitions of the volume: kpartx, which needs device-mapper, or a "
        "loop device each (default: %(default)s: kpartx where that works)",
    )
    build.set_defaults(run=_build)


def _add_sparsify(commands: Any) -> None:
    from .image.methods import METHODS
    from .image.prepare import RECLAIM

    sparsify = commands.add_parser("sparsify", help="make finished raw images sparse")
    sparsify.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
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
    sparsify.set_defaults(run=_sparsify)


def _add_inspect(commands: Any) -> None:
    inspect = commands.add_parser("inspect", help="show where the bytes of a raw image are")
    inspect.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    inspect.add_argument("--json", action="store_true", help="print it as JSON")
    inspect.set_defaults(run=_inspect)


def _add_tarball(commands: Any) -> None:
    from .image.tarball import COMPRESSORS, LEVEL

    tarball = commands.add_parser(
        "tarball", help="pack a raw image as Google Compute Engine imports it, and check that"
    )
    tarball.add_argument("image", type=Path, metavar="IMAGE")
    tarball.add_argument("tarball", type=Path, metavar="OUT.tar.gz")
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
    tarball.set_defaults(run=_tarball)


def _add_check(commands: Any) -> None:
    check = commands.add_parser(
        "check", help="read a tarball back as Google Compute Engine does, and say what is wrong"
    )
    check.add_argument("tarball", type=Path, metavar="TARBALL")
    check.add_argument(
        "image", type=Path, nargs="?", metavar="IMAGE", help="that must be the disk in it"
    )
    check.set_defaults(run=_check)


def _size(text: str) -> int:
    try:
        return sizes.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _build(options: argparse.Namespace) -> int:
    from .builder import BuildError, Options, build

    try:
        build(
            Options(
                manifest=options.manifest,
                log=None if options.log == "-" else Path(options.log),
                debug=options.debug,
                dry_run=options.dry_run,
                pause_on_error=options.pause_on_error,
                colour=options.color == "always"
                or (options.color == "auto" and sys.stderr.isatty()),
                partition_mapper=options.partition_mapper,
            )
        )
    except BuildError as error:
        print(f"bvz-sparse: error: {error}", file=sys.stderr)
        return 1
    return 0


def _sparsify(options: argparse.Namespace) -> int:
    from .image.sparsify import sparsify

    def one(path: Path) -> Any:
        with _progress(path, quiet=options.quiet) as progress:
            return sparsify(
                path,
                method=options.method,
                reclaim=options.reclaim,
                min_hole=options.min_hole,
                command=options.command,
                verify=options.verify,
                dry_run=options.dry_run,
                progress=progress,
            )

    def as_json(report: Any) -> dict[str, Any]:
        from .image.show import report_json

        return report_json(report)

    def as_text(report: Any) -> str:
        from .image.show import report_text

        return report_text(report)

    return _each(options, one, as_json=as_json, as_text=None if options.quiet else as_text)


def _inspect(options: argparse.Namespace) -> int:
    from .image.inspect import inspect
    from .image.show import inspection_json, inspection_text

    def one(path: Path) -> Any:
        with _progress(path) as progress:
            return inspect(path, progress=progress)

    terminal = sys.stdout.isatty()
    columns = shutil.get_terminal_size().columns if terminal else 0

    def as_text(inspection: Any) -> str:
        return inspection_text(
            inspection,
            width=columns or 80,  # a terminal that was given no size says 0
            colour=terminal and not os.environ.get("NO_COLOR"),
            ascii_only=not _can_print("█░·"),
        )

    return _each(options, one, as_json=inspection_json, as_text=as_text)


def _tarball(options: argparse.Namespace) -> int:
    from .image.tarball import write

    def work(image: Path) -> Any:
        return write(image, options.tarball, compressor=options.compressor, level=options.level)

    return _packed(options.image, work, options.tarball)


def _check(options: argparse.Namespace) -> int:
    from .image.tarball import check

    return _packed(options.tarball, lambda path: check(path, options.image), options.tarball)


def _packed(path: Path, work: Callable[[Path], Any], tarball: Path) -> int:
    """Do ``work`` on ``path``, and tell of the tarball."""
    from .image.report import human

    with termination_interrupts():
        found = _attempt(path, work)
    if found is None:
        return 1
    sizes = (
        f"{human(found.size)}, a disk of {human(found.disk)}, {human(found.stored)} of it stored"
    )
    _print(f"{printable(str(tarball))}: {sizes}")
    return 0


def _attempt(path: Path, work: Callable[[Path], Any]) -> Any:
    """What ``work`` returns; None where it fails, and why on stderr."""
    from .image.access import Refused
    from .image.holes import NotSupported
    from .image.programs import Missing
    from .image.verify import Changed

    try:
        return work(path)
    except (Refused, NotSupported, Changed, Missing, OSError) as error:
        _complain(path, error)
        return None


def _each(
    options: argparse.Namespace,
    work: Callable[[Path], Any],
    *,
    as_json: Callable[[Any], dict[str, Any]],
    as_text: Callable[[Any], str] | None,
) -> int:
    """Do ``work`` on every image, whatever happens to the others, and print what came of it."""
    done, status = [], 0
    with termination_interrupts():
        for path in options.images:
            result = _attempt(path, work)
            if result is None:
                status = 1
                continue
            if options.json:
                done.append(as_json(result))
            elif as_text:
                _print(as_text(result))
    if options.json:
        _print_json(done)
    return status


def _complain(path: Path, error: Exception) -> None:
    text = str(error.strerror if isinstance(error, OSError) and error.strerror else error)
    if str(path) not in text:
        text = f"{path}: {text}"
    print(f"bvz-sparse: error: {printable(text)}", file=sys.stderr)


def _print_json(images: list[dict[str, Any]]) -> None:
    import json

    from .image.show import JSON_VERSION

    _print(json.dumps({"version": JSON_VERSION, "images": images}, indent=2))


def _print(text: str) -> None:
    """Print what may contain paths, whose bytes need be no text."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def _can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


PATIENCE, INTERVAL = 1.0, 0.1  # seconds without a word, and between two


@contextlib.contextmanager
def _progress(path: Path, *, quiet: bool = False) -> Iterator[Callable[[int, int], None] | None]:
    """Something that shows on a terminal how far the reading of ``path`` is, if it takes long."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    next_time, shown = time.monotonic() + PATIENCE, False

    def show(done: int, expected: int) -> None:
        nonlocal next_time, shown
        if time.monotonic() >= next_time:
            percent = 100 * done // max(expected, 1)
            print(
                f"\r{printable(path.name)}: {percent} % read", end="", file=sys.stderr, flush=True
            )
            next_time, shown = time.monotonic() + INTERVAL, True

    try:
        yield show
    finally:
        if shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
