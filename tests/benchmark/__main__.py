"""The benchmark: ours against the other ways to make an image sparse.

Every way runs on an exact copy of each image. In each round each way runs once, in an order that
is rotated from round to round; times are compared only within a round. Nothing is written outside
of the folder. The exit code says whether everything ran, not how fast.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import platform
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from .copies import GIB, MIB
from .goals import goals
from .images import IMAGES, TREE_SIZE, Image, own_mirror
from .large import large
from .processes import Failed
from .runs import Results, journal, measure, start_up_read
from .table import NOTES, table
from .ways import WAYS, Way

SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")  # of mkfs and others, not in the PATH of users


def main() -> int:
    options = _options()
    os.environ["PATH"] += os.pathsep + os.pathsep.join(SYSTEM_FOLDERS)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # tidy up as after Ctrl-C
    try:
        return Benchmark(options).run()
    except (Failed, OSError) as error:
        print(f"benchmark: error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("benchmark: error: interrupted", file=sys.stderr)
    return 1


Named = TypeVar("Named", Image, Way)


def _some(known: Sequence[Named]) -> Callable[[str], list[Named]]:
    def parse(text: str) -> list[Named]:
        names = text.split(",")
        unknown = set(names) - {one.name for one in known}
        if unknown:
            every = ", ".join(one.name for one in known)
            problem = f"{', '.join(sorted(unknown))}: not one of {every}"
            raise argparse.ArgumentTypeError(problem)
        return [one for one in known if one.name in names]

    return parse


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark", description=__doc__)
    add = parser.add_argument
    folder = Path(__file__).parents[2] / "bench"
    add("--folder", type=Path, default=folder, help="for images and copies (default: %(default)s)")
    names = ",".join(image.name for image in IMAGES)
    usual = [image for image in IMAGES if not image.scale]
    others = [image for image in IMAGES if image.scale]
    add("--images", type=_some(IMAGES), default=usual, metavar="NAME,...", help=f"of {names}")
    text = ", ".join(image.name for image in others)
    text += ": large images, many holes, many at once; half an hour, 16 GiB"
    add("--scale", dest="images", action="store_const", const=others, help=text)
    names = ",".join(way.name for way in WAYS)
    add("--ways", type=_some(WAYS), default=WAYS, metavar="NAME,...", help=f"of {names}")
    add("--rounds", type=int, default=5, help="default: 5")
    add("--slow-rounds", type=int, default=1, help="of the slow ways at 200 GiB, default: 1")
    add("--json", type=Path, metavar="FILE", help="write the figures of each run there")
    add("--mirror", help="where debootstrap gets Debian from (default: where this machine does)")
    return parser.parse_args()


class Benchmark:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.folder: Path = options.folder.resolve()
        self.images: list[Image] = list(options.images)
        self.ways: list[Way] = list(options.ways)
        self.results = Results()
        self.remarks: list[str] = []
        self.failures: set[tuple[str, str]] = set()  # image and way
        self.start_up = 0

    def run(self) -> int:
        self._leave_out_what_cannot_run()
        self.folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as places:
            if any(image.large for image in self.images):
                places.enter_context(large(self.folder))
            return self._measure_all()

    def _measure_all(self) -> int:
        self._check_room()
        self._make_images()
        if any(way.ours for way in self.ways):
            self._find_start_up()
        self._rounds()
        self._show()
        if self.options.json:
            self._write(self.options.json)
        return 1 if self.failures else 0

    def _leave_out_what_cannot_run(self) -> None:
        for way in self.ways[:]:
            lack = way.lack()
            if lack:
                self.remarks.append(f"{way.name} did not run: {lack}")
                self.ways.remove(way)

    def _check_room(self) -> None:
        """Refuse where the images and a copy with a second copy might not find room."""
        wanted = max((image.size(self.folder) for image in self.images), default=0)
        names = {image.name for image in self.images}
        wanted += max((way.copies for way in self.ways if names & set(way.images)), default=0)
        new = [image for image in self.images if not image.path(self.folder).exists()]
        wanted += sum(image.expected for image in new)
        if any(image.mounts for image in new) and not (self.folder / "tree").exists():
            wanted += TREE_SIZE
        room = shutil.disk_usage(self.folder).free
        _say(f"needs {wanted / GIB:.1f} GiB in {self.folder}, {room / GIB:.1f} GiB are free")
        if room < wanted:
            raise Failed("not enough room: see --folder, --images and --ways")

    def _make_images(self) -> None:
        for image in self.images[:]:
            if image.path(self.folder).exists():
                continue
            _say(f"making the image {image.name}")
            try:
                image.ensure(self.folder, self.options.mirror or own_mirror())
            except Failed as error:
                self._report(image.name, "", f"could not be made: {error}")
                self.images.remove(image)

    def _find_start_up(self) -> None:
        try:
            self.start_up = start_up_read(self.folder)
        except Failed as error:
            self._report("", "ours", f"what Python reads to start is not known: {error}")

    def _rounds(self) -> None:
        for number in range(self.options.rounds):
            for image in self.images:
                ways = [way for way in self.ways if self._takes_part(way, image, number)]
                turn = number % len(ways) if ways else 0
                for way in ways[turn:] + ways[:turn]:
                    self._measure(way, image, number)

    def _takes_part(self, way: Way, image: Image, number: int) -> bool:
        if image.name not in way.images or (image.name, way.name) in self.failures:
            return False
        slow = way.slow and image.name == "200GiB"
        return not slow or number < self.options.slow_rounds

    def _measure(self, way: Way, image: Image, number: int) -> None:
        try:
            taken = measure(way, image, self.folder)
        except Failed as error:
            self._report(image.name, way.name, f"failed: {error}")
            return
        if way.ours:
            taken = dataclasses.replace(taken, read=max(taken.read - self.start_up, 0))
        self.results.add(image.name, way.name, number, taken)
        figures = f"{taken.seconds:.2f} s, {taken.left / MIB:,.1f} MiB left"
        _say(f"round {number + 1}, {image.name}, {way.name}: {figures}")

    def _report(self, image: str, way: str, failure: str) -> None:
        remark = f"{' '.join(filter(None, [image, way]))}: {failure}"
        _say(remark)
        self.remarks.append(remark)
        self.failures.add((image, way))

    def _show(self) -> None:
        for image in self.images:
            size = image.size(self.folder) / MIB
            print(f"\n{image.name}: {image.content}; {size:,.0f} MiB allocated\n")
            print(table(image, self.results))
        print(f"\n{NOTES.format(start=self.start_up / MIB)}")
        for remark in self.remarks:
            print(f"\n{remark}")
        print("\nNumbers\n")
        for goal in goals(self.results, self._journal()):
            print(goal.line())

    def _journal(self) -> int | None:
        for image in self.images:
            if image.name == "10GiB":
                with contextlib.suppress(Failed):
                    return journal(image, self.folder)
        return None

    def _write(self, path: Path) -> None:
        runs = [
            {"image": image, "way": way, "round": number + 1, **dataclasses.asdict(taken)}
            for (image, way), rounds in self.results.runs.items()
            for number, taken in rounds.items()
        ]
        machine = {"kernel": platform.release(), "python": platform.python_version()}
        machine["processors"] = str(os.cpu_count())
        path.write_text(json.dumps({"machine": machine, "runs": runs}, indent=1) + "\n")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
