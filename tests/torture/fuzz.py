"""Fuzzing of each parser, guided by what of it was reached: atheris, which is libFuzzer.

``pip install atheris`` where there is none. A case that is found stays in the folder for temporary
files; in ``cases/PARSER/`` it becomes a test, see ``test_cases.py``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from . import seeds
from .parts import Job, Tally
from .workers import Broken, spread

PARSERS = (
    *("ext", "xfs", "swap", "table", "tarball"),
    *("gpt", "guards", "formats", "unclean", "checker", "loop", "fuse"),
)
SECONDS = 20  # for each
LEAST = 1.5
LIMIT = 10  # seconds for an input
MEMORY = 1024  # MiB
LONGEST = 64 << 10  # bytes of an input
AROUND = 120  # seconds for what comes before and after
ROOT = Path(__file__).parents[2]


class Found(NamedTuple):
    """The number of inputs, the exit status, the last message and the saved inputs of a process."""

    inputs: int
    status: int
    said: str
    saved: tuple[Path, ...]


def run(job: Job, tally: Tally) -> None:
    if find_spec("atheris") is None:
        tally.remarks.append("nothing was fuzzed: atheris is not installed")
        return
    parsers = [parser for parser in PARSERS if job.only in (None, parser)]
    seconds = max(SECONDS * job.share, LEAST)
    fuzzed = spread(
        parsers, partial(_fuzz, job, seconds), workers=job.workers, limit=seconds + AROUND
    )
    for parser, found in fuzzed:
        if isinstance(found, Broken):
            tally.failures.append(f"fuzz: {parser}: {found.text}")
            continue
        tally.tried["inputs"] += found.inputs
        tally.outcomes[f"inputs of {parser}"] += found.inputs
        for path in found.saved:
            hung = path.name.startswith("timeout")
            tally.hangs += hung
            tally.tracebacks += not hung
            tally.failures.append(f"fuzz: {parser}: {found.said}: {path}")
        if found.status and not found.saved:
            tally.failures.append(f"fuzz: {parser}: ended with {found.status}: {found.said}")


def _fuzz(job: Job, seconds: float, parser: str) -> Found:
    folder = job.folder / parser
    corpus, saved = folder / "corpus", folder / "saved"
    for path in (corpus, saved):
        path.mkdir(parents=True)
    seeds.write(parser, folder, corpus)
    options = {
        "seed": job.seed,
        "max_total_time": max(round(seconds), 1),
        "timeout": LIMIT,
        "rss_limit_mb": MEMORY,
        "max_len": LONGEST,
        "print_final_stats": 1,
        "artifact_prefix": f"{saved}/",
    }
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.torture.fuzzing", parser),
            *(f"-{name}={value}" for name, value in options.items()),
            str(corpus),
        ],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    inputs = re.search(r"number_of_executed_units: *(\d+)", done.stderr)
    said = re.findall(
        r"^(?:\w+\.)*\w*(?:Error|Exception|ERROR)\b.*", done.stdout + done.stderr, re.M
    )
    kept = tuple(_keep(path, parser) for path in sorted(saved.iterdir()))
    return Found(int(inputs[1]) if inputs else 0, done.returncode, said[0] if said else "", kept)


def _keep(path: Path, parser: str) -> Path:
    """Move a saved case out of the folder, which goes."""
    return Path(shutil.move(path, Path(tempfile.gettempdir()) / f"{path.name[:24]}-{parser}"))
