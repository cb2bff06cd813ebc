"""``make torture``: try to make the product lose something."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from .parts import PARTS, Job, Tally, load

SHOWN = 20  # failures of a part


def main() -> int:
    parser = argparse.ArgumentParser(prog="make torture OPTIONS=", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--share", type=float, default=1.0, help="of the full form: 0.01, say")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", metavar="CASE", help="repeat a case, named as it was shown")
    parser.add_argument("--folder", type=Path, help="where the images are made")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}")
    whole, began = Tally(), time.monotonic()
    for name in options.parts or PARTS:
        with tempfile.TemporaryDirectory(prefix="torture-", dir=options.folder) as folder:
            whole.add(_part(name, Job(Path(folder), options.seed, options.share, options.only)))
    print(f"all, in {(time.monotonic() - began) / 60:.1f} min: {whole.line()}")
    return 0 if whole.sound else 1


def _part(name: str, job: Job) -> Tally:
    tally, began = Tally(), time.monotonic()
    load(name)(job, tally)
    tried = ", ".join(f"{count:,} {kind}" for kind, count in tally.tried.items())
    print(f"{name}, in {time.monotonic() - began:.0f} s: {tried or 'nothing'}")
    for outcome, count in tally.outcomes.most_common():
        print(f"    {count:8,} {outcome}")
    for remark in tally.remarks:
        print(f"    not done: {remark}")
    for failure in tally.failures[:SHOWN]:
        print(f"    FAILED {failure}")
    if len(tally.failures) > SHOWN:
        print(f"    FAILED {len(tally.failures) - SHOWN} more")
    print(f"    {tally.line()}", flush=True)
    return tally


if __name__ == "__main__":
    sys.exit(main())
