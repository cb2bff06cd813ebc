"""The command ``bvz-sparse``: a table of its commands, and the import of the one that is run."""

from __future__ import annotations

import argparse
import importlib
import sys

from . import __version__
from .commands import SHELLS, streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from typing import Protocol

    class CommandModule(Protocol):
        """The interface of a command's module."""

        def add_arguments(self, parser: argparse.ArgumentParser) -> None:
            """Describe the arguments."""

        def run(self, arguments: argparse.Namespace) -> int:
            """Run the command, and return the exit code."""


# The module of each command in ``commands``, and its help text.
COMMANDS = {
    "build": ("build", "build the image that a manifest describes"),
    "clean": ("clean", "remove the leftovers of killed builds from a workspace"),
    "sparsify": ("sparsify", "make finished raw images sparse"),
    "inspect": ("inspect", "show how the space of raw images is used"),
    "tarball": ("tarball", "pack a raw image into a tarball for Compute Engine"),
    "check": ("check", "check that Compute Engine can import a tarball"),
    "report": ("report", "show the report of a build (plugins.sparse.report)"),
}


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit code: 0 done, 1 failed, 2 bad usage.

    ``words`` are the arguments, by default those of the process.

    :raises SystemExit: after ``--help``, ``--version`` and bad usage
    """
    streams.guard()
    try:
        status = _run(sys.argv[1:] if words is None else words)
    except KeyboardInterrupt:
        streams.print_error("interrupted")
        status = 1
    return streams.finish(status)


def _run(words: Sequence[str]) -> int:
    name = next((word for word in words if word in COMMANDS), "")
    try:
        arguments = _parser([name] if name else []).parse_args(words)
    except SystemExit as stop:  # argparse has printed the help, the version or the error
        raise SystemExit(streams.finish(int(stop.code or 0))) from None
    except OSError:  # the help could not be printed
        return 1
    if arguments.debug:
        # loads subprocess
        from .commands.debug import log_programs

        log_programs()
    return _exit_code(lambda: _load(name).run(arguments), debug=arguments.debug)


def _exit_code(work: Callable[[], int], *, debug: bool = False) -> int:
    status = streams.attempt(work, debug=debug)
    return 1 if status is None else status


def full_parser() -> argparse.ArgumentParser:
    """Return the parser with the arguments of all commands, for completion, man pages and docs."""
    return _parser(COMMANDS)


def _parser(names: Collection[str]) -> argparse.ArgumentParser:
    """Return the parser; only the commands in ``names`` are imported and get their arguments."""
    parser = argparse.ArgumentParser(
        prog="bvz-sparse",
        formatter_class=_HelpFormatter,
        description="Build sparse Debian images, and make finished raw images sparse.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument(
        "--print-completion",
        action=_PrintCompletion,
        choices=SHELLS,
        default=argparse.SUPPRESS,
        metavar="SHELL",
        help=f"print a completion script for SHELL ({', '.join(SHELLS)})",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", prog=parser.prog)
    for name, (_, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, formatter_class=_HelpFormatter)
        if name in names:
            _load(name).add_arguments(command)
    return parser


def _load(name: str) -> CommandModule:
    module: CommandModule = importlib.import_module(f".commands.{COMMANDS[name][0]}", __package__)
    return module


class _HelpFormatter(argparse.HelpFormatter):
    """A formatter that finds the width of the terminal without loading shutil."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=streams.columns() - 2)


class _PrintCompletion(argparse.Action):
    """The option ``--print-completion``, which ends the program as ``--version`` does."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        parser.exit(_exit_code(lambda: _print_completion(str(values))))


def _print_completion(shell: str) -> int:
    # only this option needs it
    from .commands.completion import script

    streams.print_output(script(full_parser(), shell))
    return 0


if __name__ == "__main__":
    sys.exit(main())
