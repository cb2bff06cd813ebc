"""The option ``--debug`` of the commands."""

from __future__ import annotations

import argparse
import logging

from ..util import programs
from . import streams


def add_debug(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument(
        "--debug",
        action="store_true",
        help="print external programs, and a traceback for each error, on stderr",
    )


def log_programs() -> None:
    """Print each program that is run on stderr."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            streams.print_message(record.getMessage())

    programs.log.addHandler(Handler())
    programs.log.setLevel(logging.DEBUG)
