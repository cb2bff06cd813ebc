"""The goals of the benchmark, and whether they are reached."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .copies import MIB
from .runs import Results

OURS, METADATA = "ours", "ours-metadata"


@dataclass(frozen=True)
class Goal:
    text: str
    value: float | None  # not measured
    limit: float
    unit: str
    at_least: bool = False

    def line(self) -> str:
        sense = "at least" if self.at_least else "at most"
        figures = f"{sense} {self.limit:,.2f}{self.unit}"
        if self.value is None:
            return f"{'not measured':12}  {self.text}: {figures}"
        met = self.value >= self.limit if self.at_least else self.value <= self.limit
        found = f"{self.value:,.3f}{self.unit}"
        return f"{'met' if met else 'NOT MET':12}  {self.text}: {found}, {figures}"


def goals(results: Results, journal: int | None) -> Iterator[Goal]:
    """``journal`` are the bytes of it in the 10 GiB image, None where that is not known."""
    yield from _time(results)
    yield from _space(results, journal)
    yield from _reading(results)
    yield from _memory(results)
    yield from _tarball(results)
    yield from _scale(results)


def _time(results: Results) -> Iterator[Goal]:
    def ratio(text: str, limit: float, first: tuple[str, str], second: tuple[str, str]) -> Goal:
        return Goal(text, results.ratio(first, second), limit, " x")

    small, large, pieces = "10GiB", "200GiB", "fragmented"
    slowest = results.ratio((small, "zerofree+cp"), (small, OURS))
    yield Goal("10 GiB: time of zerofree + cp to ours", slowest, 30, " x", at_least=True)
    both = (small, "fstrim+dig-holes")
    yield ratio("10 GiB: time of ours to fstrim + dig-holes", 0.95, (small, OURS), both)
    alone = (small, METADATA)
    yield ratio("10 GiB: time of metadata alone to fstrim", 1.1, alone, (small, "fstrim"))
    slowest = results.ratio((large, "zerofree+dig-holes"), (large, OURS))
    yield Goal("200 GiB: time of zerofree + dig-holes to ours", slowest, 100, " x", at_least=True)
    yield ratio("time of ours at 200 GiB to that at 10 GiB", 1.3, (large, OURS), (small, OURS))
    yield ratio("fragmented: time of ours to fstrim", 1.2, (pieces, OURS), (pieces, "fstrim"))


def _space(results: Results, journal: int | None) -> Iterator[Goal]:
    ours, peer = (results.median("10GiB", way, "left") for way in (OURS, "e2image"))
    less = None if ours is None or peer is None else (peer - ours) / MIB
    yield Goal("10 GiB: e2image -ra leaves more than ours by", less, 0, " MiB", at_least=True)
    if journal is not None:
        # of a punched image file the list of extents may itself take some blocks more
        least = max(journal / MIB - 0.25, 0)
        text = f"10 GiB: and so by the journal, {journal / MIB:.2f} MiB of it not zero"
        yield Goal(text, less, least, " MiB", at_least=True)
    ours, peer = (results.median("200GiB", way, "left") for way in (OURS, "fstrim"))
    yield Goal("200 GiB: MiB left, ours to fstrim", _quotient(ours, peer), 0.5, " x")
    for image in ("10GiB", "200GiB", "fragmented", "2TiB"):
        extra = results.most(image, OURS, "extra")
        yield Goal(f"{image}: second copy of ours", _mib(extra), 0, " MiB")


def _reading(results: Results) -> Iterator[Goal]:
    alone = results.most("200GiB", METADATA, "read")
    yield Goal("200 GiB: read by metadata alone", _mib(alone), 1, " MiB")
    for image in ("10GiB", "200GiB"):
        read = results.median(image, OURS, "read")
        left = results.median(image, METADATA, "left")
        text = f"{image}: read by ours to what metadata alone leaves allocated"
        yield Goal(text, _quotient(read, left), 1.01, " x")


def _memory(results: Results) -> Iterator[Goal]:
    for image, limit in (("10GiB", 32), ("2TiB", 128)):
        yield Goal(f"{image}: memory", _mib(results.most(image, OURS, "memory")), limit, " MiB")


def _quotient(first: float | None, second: float | None) -> float | None:
    return None if first is None or not second else first / second


def _mib(value: float | None) -> float | None:
    return None if value is None else value / MIB


def _tarball(results: Results) -> Iterator[Goal]:
    ours, theirs = ("10GiB", "ours+tarball"), ("10GiB", "tar")
    slowest = results.ratio(theirs, ours)
    yield Goal("time of upstream's tarball to ours", slowest, 5, " x", at_least=True)
    sizes = (results.median(*way, "extra") for way in (ours, theirs))
    yield Goal("size of our tarball to upstream's", _quotient(*sizes), 1, " x")


def _scale(results: Results) -> Iterator[Goal]:
    for image, limit in (("16TiB", 300), ("16TiB-xfs", 32), ("holes", 500), ("zeros", 64)):
        yield Goal(f"{image}: memory", _mib(results.most(image, OURS, "memory")), limit, " MiB")
    for image in ("holes", "zeros"):
        ratio = results.ratio((image, OURS), (image, "dig-holes"))
        yield Goal(f"{image}: time of ours to dig-holes", ratio, 2, " x")
    for way in ("ours-8-at-once", "ours-8-in-a-call"):
        ratio = results.ratio(("small", way), ("small", OURS))
        yield Goal(f"time of {way} to that of one", ratio, 9, " x")
