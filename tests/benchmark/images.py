"""The images that are measured: made once, then kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .copies import GIB, MIB, TIB, allocated
from .processes import PRIVATE_MOUNTS, Failed, run

RELEASE = "bookworm"
TREE_SIZE = 950 * MIB
PIECES = 100_700  # free ranges of the fragmented image; some become its extent tree
MILLION = 1_000_000
LARGE = "large"  # the folder in the benchmark's folder for images of 16 TiB


@dataclass(frozen=True)
class Image:
    name: str
    content: str
    expected: int  # bytes allocated, roughly
    make: Callable[[Path, Path], None]  # of the image, at a path, and the folder for the rest
    mounts: bool = False  # needs root to be made
    scale: bool = False  # not one of those that are measured when none is named
    large: bool = False  # ext4 files end below 16 TiB

    def place(self, folder: Path) -> Path:
        """Return the folder of the image and its copies."""
        return folder / LARGE if self.large else folder

    def path(self, folder: Path) -> Path:
        return self.place(folder) / f"{self.name}.raw"

    def size(self, folder: Path) -> int:
        """Bytes that it takes, or will take."""
        path = self.path(folder)
        return allocated(path) if path.exists() else self.expected

    def ensure(self, folder: Path, mirror: str) -> None:
        """Make the image unless it is there.

        :raises Failed: it cannot be made
        """
        path = self.path(folder)
        part = path.with_suffix(".part")
        if path.exists():
            return
        if self.mounts:
            _ensure_tree(folder, mirror)
        try:
            self.make(part, folder)
            os.sync()
            part.rename(path)
        finally:
            part.unlink(missing_ok=True)


def _new_file(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def _ensure_tree(folder: Path, mirror: str) -> None:
    """A real Debian system in ``folder/tree``."""
    tree, part = folder / "tree", folder / "tree.part"
    if tree.exists():
        return
    if os.geteuid() != 0:
        raise Failed("debootstrap and mount need root: sudo make bench")
    if part.exists():
        shutil.rmtree(part)
    kernel = f"linux-image-{run('dpkg', '--print-architecture').strip()}"
    command = ["debootstrap", f"--include={kernel},python3", RELEASE, str(part)]
    run(*PRIVATE_MOUNTS, *command, *filter(None, [mirror]))
    part.rename(tree)


def own_mirror() -> str:
    """The Debian mirror that this machine uses; nothing if there is none, as on Ubuntu."""
    if shutil.which("apt-get") is None:
        return ""
    form = ["--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian", "Label: Debian"]
    return next(iter(run("apt-get", "indextargets", *form).splitlines()), "")


FILL = """
mount -o loop "$1" "$3"
cp -a "$2/." "$3"
dd if=/dev/zero of="$3/zeros" bs=1M count=64 status=none
mkdir "$3/deleted"
head -c 2G /dev/urandom | split -b 16M - "$3/deleted/"
sync -f "$3"
rm -r "$3/deleted"
umount "$3"
"""


def _debian(size: int) -> Callable[[Path, Path], None]:
    def make(image: Path, folder: Path) -> None:
        if os.geteuid() != 0:
            raise Failed("mount needs root: sudo make bench")
        _new_file(image, size)
        run("mkfs.ext4", "-q", image)
        point = folder / "mounted"
        point.mkdir(exist_ok=True)
        try:
            run(*PRIVATE_MOUNTS, "sh", "-euc", FILL, "sh", image, folder / "tree", point)
        finally:
            point.rmdir()
        # It discards nothing once it has changed something: what it wants to change is done here.
        run("e2fsck", "-fy", image)

    return make


def _fragmented(image: Path, folder: Path) -> None:
    """One file in contiguous blocks, from which every second 8 KiB are taken."""
    block = 4096
    _new_file(image, 2 * GIB)
    run("mkfs.ext4", "-q", "-b", str(block), image)
    content = folder / "content.part"
    try:
        _write_random(content, PIECES * 4 * block)
        run("debugfs", "-w", "-R", f"write {content} file", image)
    finally:
        content.unlink(missing_ok=True)
    commands = (f"punch file {4 * piece} {4 * piece + 1}\n" for piece in range(PIECES))
    run("debugfs", "-w", "-f", "-", image, script="".join(commands))
    _check_fragments(image)


def _check_fragments(image: Path) -> None:
    lines = run("dumpe2fs", image).splitlines()
    ranges = [
        [int(block) for block in part.split("-")]
        for line in lines
        if line.startswith("  Free blocks: ")
        for part in line.partition(": ")[2].split(", ")
        if part
    ]
    found = sum(last - first == 1 for first, last in (r for r in ranges if len(r) == 2))
    if found < 100_000 or allocated(image) < GIB:
        raise Failed(f"only {found} free ranges of 8 KiB, {allocated(image)} bytes allocated")


def _write_random(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            file.write(os.urandom(min(MIB, size - start)))


def _huge(size: int) -> Callable[[Path, Path], None]:
    def make(image: Path, folder: Path) -> None:
        content = folder / "content.part"
        content.mkdir(exist_ok=True)
        try:
            _write_random(content / "file", 64 * MIB)
            _new_file(image, size)
            run("mkfs.ext4", "-q", "-E", "lazy_itable_init=1", "-d", content, image)
        finally:
            shutil.rmtree(content)

    return make


def _huge_xfs(image: Path, folder: Path) -> None:
    content, prototype = folder / "content.part", folder / "prototype.part"  # mkfs.xfs(8), -p
    try:
        _write_random(content, 64 * MIB)
        prototype.write_text(f"/\n0 0\nd--755 0 0\nfile ---644 0 0 {content}\n$\n")
        _new_file(image, 16 * TIB)
        run("mkfs.xfs", "-q", "-p", prototype, image)
    finally:
        content.unlink(missing_ok=True)
        prototype.unlink(missing_ok=True)


def _small(image: Path, folder: Path) -> None:
    content = folder / "content.part"
    content.mkdir(exist_ok=True)
    try:
        _write_random(content / "file", 64 * MIB)
        _write_random(content / "deleted", 256 * MIB)
        (content / "zeros").write_bytes(bytes(64 * MIB))
        _new_file(image, GIB)
        run("mkfs.ext4", "-q", "-d", content, image)
    finally:
        shutil.rmtree(content)
    run("debugfs", "-w", "-R", "rm deleted", image)


def _by_turns(count: int, *, holes: bool) -> Callable[[Path, Path], None]:
    """``count`` blocks with something in them, as many holes or blocks of zeros between them."""

    def make(image: Path, folder: Path) -> None:
        block = 4096
        content = os.urandom(block)
        with image.open("wb", buffering=MIB) as file:
            for place in range(0, 2 * count * block, 2 * block):
                if holes:
                    os.pwrite(file.fileno(), content, place)
                else:
                    file.write(content + bytes(block))
            file.truncate(2 * count * block)

    return make


DEBIAN = "of ext4: a Debian tree, a file of 64 MiB of zeros, 2 GiB of random files deleted"

IMAGES = (
    Image("10GiB", f"10 GiB {DEBIAN}", 3100 * MIB, _debian(10 * GIB), mounts=True),
    Image("200GiB", f"200 GiB {DEBIAN}", 4200 * MIB, _debian(200 * GIB), mounts=True),
    Image(
        "fragmented",
        "2 GiB of ext4, 8 KiB free and 8 KiB in use by turns over 1 GiB, all of it allocated",
        1120 * MIB,
        _fragmented,
    ),
    Image("2TiB", "2 TiB of ext4 with one file of 64 MiB", 1150 * MIB, _huge(2 * TIB)),
    Image(
        "16TiB",
        "16 TiB of ext4 with one file of 64 MiB",
        1300 * MIB,
        _huge(16 * TIB),
        scale=True,
        large=True,
    ),
    Image(
        "16TiB-xfs",
        "16 TiB of xfs with one file of 64 MiB",
        2200 * MIB,
        _huge_xfs,
        scale=True,
        large=True,
    ),
    Image(
        "holes",
        "a block of 4 KiB in use and a hole by turns, a million of each",
        MILLION * 4096,
        _by_turns(MILLION, holes=True),
        scale=True,
    ),
    Image(
        "zeros",
        "a block of 4 KiB in use and one of zeros by turns, 100,000 of each",
        MILLION // 10 * 8192,
        _by_turns(MILLION // 10, holes=False),
        scale=True,
    ),
    Image(
        "small",
        "1 GiB of ext4: files of 64 MiB, of 64 MiB of zeros, and one of 256 MiB deleted",
        480 * MIB,
        _small,
        scale=True,
    ),
)
