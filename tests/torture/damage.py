"""Images whose metadata was damaged at random: nothing that is in use of them may change.

Most of the damage is hidden again by right checksums, and often by counts that agree, so that it
is met by what comes after them. The number of a case and the seed tell what is done to which
image. Images lie in memory where there is room for them: each would be synced to the disk.
"""

from __future__ import annotations

import random
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from bootstrapvz_sparse.image import inspect, sparsify
from bootstrapvz_sparse.render.json import inspection_json, report_json
from bootstrapvz_sparse.render.text import inspection_text, report_text
from bootstrapvz_sparse.util.errors import (
    ProgramMissing,
    SparseError,
    Unsupported,
    VerificationFailed,
)

from . import pristine
from .damage_ext import Ext
from .damage_tables import Swap, Table
from .damage_xfs import Xfs
from .judge import lost, total
from .memory import memory
from .mutations import FIX_ALL, FIX_CHECKSUMS, FIX_NOTHING, Draft
from .oracle import Ranges
from .parts import Job, Tally
from .pristine import Base
from .workers import Broken, spread

IMAGES = 10_000
LIMIT = 10  # seconds for the engine
PATIENCE = 120  # for all others
CHUNK_SIZE = 500  # cases between which the judge sits
ALLOWED = (SparseError, Unsupported, VerificationFailed, ProgramMissing, OSError)
KINDS: dict[str, type[Ext] | type[Xfs] | type[Swap]] = {"ext": Ext, "xfs": Xfs, "swap": Swap}

# Why something was left alone, for the table of outcomes.
REASONS = {
    r"e2fsck|xfs_repair": "its checker",
    r"sfdisk|partition table|chain|claim|GPT|but no type": "the table",
    r"checksum": "a wrong checksum",
    r"in the superblock$|in the descriptor|in the AGF|agf_btreeblks": "counts that differ",
    r"invalid (s|sb)_(?!journal)|invalid last_page|block groups|sb_bad_features2": (
        "impossible figures"
    ),
    r"lies (outside|beyond)|outside the filesystem|beyond the .* (end|group)": (
        "metadata outside of it"
    ),
    r"larger than its partition|beyond the image": "no room for it",
    r"metadata as free|blocks as free": "metadata that is free",
    r"overlaps other metadata|of group \d+ overlaps": "metadata in one place",
    r"journal": "its journal",
    r"log": "its log",
    r"unsupported|realtime|another device": "an unknown feature",
    r"tree|AGF|AGI|AGFL|free extent": "groups or trees of xfs",
    r"cleanly unmounted|found errors|needs repair|not finish|orphan|hibernated": "its state",
    r"it overlaps|it is empty": "the place of its partition",
    r"no reader|no known|no ext|no XFS|swap area": "nothing known is there",
}


class Case(NamedTuple):
    """An image that is damaged, and what is done with it."""

    number: int
    base: Base
    draft: Draft
    deed: str


class Seen(NamedTuple):
    """The outcome for the table, the changed ranges, and whether all of them are zeros now."""

    outcome: str
    changed: Ranges
    to_zeros: bool


def run(job: Job, tally: Tally) -> None:
    if lack := next((p for p in ("mke2fs", "mkfs.xfs", "sfdisk") if not shutil.which(p)), ""):
        tally.remarks.append(f"nothing was damaged: {lack} is not installed")
        return
    numbers = range(job.count(IMAGES)) if job.only is None else [int(job.only)]
    with tempfile.TemporaryDirectory(prefix="torture-", dir=memory(job.folder)) as folder:
        try:
            bases = _bases(Path(folder), job)
        except RuntimeError as error:
            tally.failures.append(f"damage: {error}")
            return
        for base in bases:  # this loads all of the engine, too, which each process has then
            if notes := inspect(base.states[0]).notes:
                tally.failures.append(f"damage: {base.name}, undamaged: {'; '.join(notes)}")
        waiting = iter(numbers)
        while batch := list(islice(waiting, CHUNK_SIZE)):
            _batch(batch, bases, Path(folder), job, tally)
    tally.failures.sort()


def _bases(folder: Path, job: Job) -> list[Base]:
    """Sound images, the same in the same order each time."""
    names = pristine.names()
    singles = dict(
        _made(names, lambda name: pristine.make_one(folder / str(names.index(name)), name), job)
    )
    tables = list(pristine.TABLES)

    def make(name: str) -> Base:
        return pristine.make_table(folder / f"table{tables.index(name)}", name, singles)

    made = {**singles, **dict(_made(tables, make, job))}
    return [made[name] for name in (*names, *tables)]


def _made(names: list[str], make: Callable[[str], Base], job: Job) -> Iterator[tuple[str, Base]]:
    for name, base in spread(names, make, workers=job.workers, limit=PATIENCE):
        if isinstance(base, Broken):
            raise RuntimeError(f"{name} was not made: {base.text}")
        yield name, base


def _batch(numbers: list[int], bases: list[Base], folder: Path, job: Job, tally: Tally) -> None:
    tried = spread(
        numbers, partial(_try, bases, folder, job.seed), workers=job.workers, limit=LIMIT
    )
    changed: list[tuple[int, Ranges]] = []
    for number, seen in tried:
        tally.tried["images"] += 1
        if isinstance(seen, Broken):
            tally.hangs += seen.hung
            tally.tracebacks += not seen.hung
            what = "hung" if seen.hung else seen.text.strip().splitlines()[-1]
            tally.failures.append(f"damage: case {number}: {what} ({_words(bases, job, number)})")
            (folder / f"image{number}").unlink(missing_ok=True)
            continue
        if not seen.to_zeros:
            tally.failures.append(f"damage: case {number}: bytes became anything but zero")
        tally.outcomes[seen.outcome] += 1
        if seen.changed:
            changed.append((number, seen.changed))
    judged = spread(
        changed, partial(_judge, bases, folder, job.seed), workers=job.workers, limit=PATIENCE
    )
    for (number, _), verdict in judged:
        if isinstance(verdict, Broken):
            tally.failures.append(f"damage: case {number}: no verdict: {verdict.text}")
        elif verdict[0]:
            tally.lost += verdict[0]
            words = _words(bases, job, number)
            tally.failures.append(
                f"damage: case {number}: {verdict[0]} bytes of {verdict[1]} ({words})"
            )


def _words(bases: list[Base], job: Job, number: int) -> str:
    case = draw(bases, job.seed, number)
    return f"{case.base.name}; {'; '.join(case.draft.done)[:300]}; {case.deed}"


def draw(bases: list[Base], seed: int, number: int) -> Case:
    """The case of that number: the same each time."""
    chance = random.Random(f"{seed} {number}")
    kind = chance.choices(["ext", "xfs", "swap", "table"], [45, 22, 3, 30])[0]
    base = chance.choice([b for b in bases if ("table" if b.table else b.parts[0].kind) == kind])
    draft = Draft(base.states[0], chance)
    level = chance.choices([FIX_NOTHING, FIX_CHECKSUMS, FIX_ALL], [30, 25, 45])[0]

    def state(name: str) -> Draft:
        return Draft(base.states[pristine.STATES.index(name)], chance)

    if base.table and draft.often(0.65):
        table = Table(draft)
        for _ in range(chance.choice([1, 1, 1, 2, 3])):
            table.damage()
        table.fix(level)
    else:
        part = chance.choice(base.parts)
        filesystem = KINDS[part.kind](draft, part.start)
        for _ in range(chance.choice([1, 1, 1, 2, 3])):
            filesystem.damage(state)
        filesystem.fix(level)
    if draft.often(0.04):
        draft.length = chance.randrange(1, draft.length)
        if draft.often(0.6):
            draft.length = -(-draft.length // 4096) * 4096
        draft.done.append(f"cut off at {draft.length}")
    deed = chance.choices(["punch", "none", "dry run", "inspect"], [74, 12, 7, 7])[0]
    return Case(number, base, draft, deed)


def _try(bases: list[Base], folder: Path, seed: int, number: int) -> Seen:
    """Let the engine have the image."""
    case, path = draw(bases, seed, number), folder / f"image{number}"
    case.draft.save(path)
    try:
        outcome = _deed(path, case.deed)
        if path.stat().st_size != case.draft.length:
            raise AssertionError("its size changed")
        changed, to_zeros = case.draft.changes(path)
    finally:
        path.unlink()
    if case.deed in ("dry run", "inspect") and changed:
        raise AssertionError(f"{case.deed} changed {total(changed)} bytes")
    if outcome == "trusted":
        outcome += ", and bytes became holes" if changed else ", and nothing changed"
    return Seen(outcome, changed, to_zeros)


def _deed(path: Path, deed: str) -> str:
    try:
        if deed == "inspect":
            found = inspect(path)
            inspection_text(found, width=80, colour=False, ascii_only=True)
            inspection_json(found)
            notes = found.notes
        else:
            dry = deed == "dry run"
            report = sparsify(path, method="punch" if dry else deed, dry_run=dry)
            report_text(report)
            report_json(report)
            notes = report.notes
    except ALLOWED as error:
        return f"refused: {type(error).__name__}"
    text = " ".join(notes)
    if not re.search("left alone|only zero blocks", text):
        return "trusted"
    reason = next((why for pattern, why in REASONS.items() if re.search(pattern, text)), text)
    return f"left alone: {reason}"


def _judge(
    bases: list[Base], folder: Path, seed: int, changed: tuple[int, Ranges]
) -> tuple[int, str]:
    """Return how many bytes in use changed, and their owner."""
    number, ranges = changed
    case, path = draw(bases, seed, number), folder / f"before{number}"
    scratch = folder / f"part{number}"
    case.draft.save(path)
    try:
        return lost(path, case.base, ranges, scratch)
    finally:
        path.unlink()
        scratch.unlink(missing_ok=True)
