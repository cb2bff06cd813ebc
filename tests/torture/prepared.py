"""An image of which it is known what is in use, told by e2fsprogs."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from bootstrapvz_sparse.image.extents import Ranges, complement, union
from tests.support.e2fsprogs import check, debugfs
from tests.support.independent import unneeded
from tests.support.mounting import run

MIB = 1 << 20


class Prepared:
    """The content of an image, in memory, the ranges of its bytes in use, and its files."""

    def __init__(self, content: bytes, in_use: Ranges, files: dict[str, bytes]) -> None:
        self._content, self._in_use, self._files = content, in_use, files

    @property
    def size(self) -> int:
        """Bytes of the image."""
        return len(self._content)

    def write(self, path: Path) -> Path:
        """Make the image at ``path``, each block allocated."""
        path.write_bytes(self._content)
        return path

    def lost(self, path: Path, *, longer: bool = False) -> int:
        """Return how many bytes in use have changed in the image at ``path``.

        With ``longer`` it may be longer than it was made.
        """
        size = path.stat().st_size
        if size < len(self._content) or (size != len(self._content) and not longer):
            return len(self._content)
        before = self._content
        with path.open("rb") as file:
            now = file.read(len(before))
        return sum(
            now[i] != before[i]
            for start, end in self._in_use
            if now[start:end] != before[start:end]
            for i in range(start, end)
        )

    def lost_of_files(self, path: Path) -> int:
        """The same for what mounts the filesystem: bytes of files, by debugfs."""
        folder = path.with_name(f"{path.name}.files")
        folder.mkdir()
        try:
            debugfs(path, *(f"dump {name} {folder / name}" for name in self._files), write=False)
            return sum(
                len(content)
                for name, content in self._files.items()
                if (folder / name).read_bytes() != content
            )
        finally:
            shutil.rmtree(folder)


def used_ext4(folder: Path, size: int = 12 * MIB) -> Prepared:
    """An ext4 filesystem of files, free blocks with what was in others, and a file of zeros."""
    folder.mkdir()
    image, chance = folder / "image", random.Random(size)
    image.write_bytes(bytes(size))
    run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-J", "size=1", image)
    commands = []
    for number in range(24):
        source = folder / f"f{number}"
        source.write_bytes(chance.randbytes(chance.randrange(1, 400_000)))
        commands.append(f"write {source} f{number}")
    debugfs(image, *commands, *(f"rm f{number}" for number in range(0, 24, 2)))
    debugfs(image, *(f"zap_block -f f1 -p 0 {number}" for number in range(3)))
    assert check(image) == ""
    in_use = complement(union(unneeded(image)), size)
    files = {f"f{number}": (folder / f"f{number}").read_bytes() for number in range(3, 24, 2)}
    return Prepared(image.read_bytes(), in_use, files)
