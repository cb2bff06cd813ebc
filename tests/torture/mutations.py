"""An image in memory that is being damaged, and checksums that know nothing of the product's."""

from __future__ import annotations

import mmap
import os
import random
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from .oracle import Ranges
from .pristine import segments

CHUNK, PIECE = 1 << 16, 512

FIX_NOTHING, FIX_CHECKSUMS, FIX_ALL = range(3)
OTHERS = ("other", "sibling")
States = Callable[[str], "Draft"]  # the whole image in another state


def _table(polynomial: int) -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
        table.append(value)
    return table


_CASTAGNOLI, _ANSI = _table(0x82F63B78), _table(0xA001)


def crc32c(data: bytes, crc: int = 0xFFFFFFFF) -> int:
    for byte in data:
        crc = _CASTAGNOLI[(crc ^ byte) & 255] ^ crc >> 8
    return crc


def crc16(data: bytes, crc: int = 0xFFFF) -> int:
    for byte in data:
        crc = _ANSI[(crc ^ byte) & 255] ^ crc >> 8
    return crc


def crc32(data: bytes) -> int:
    return zlib.crc32(data)


class Region(NamedTuple):
    """A piece of metadata; ``fields``: offset and size of what can be damaged as a number."""

    name: str
    start: int
    size: int
    fields: Sequence[tuple[int, int]] = ()


class Draft:
    """The bytes of an image, what chance decides about them, and in words what was done."""

    def __init__(self, image: Path, chance: random.Random) -> None:
        with image.open("rb") as file:
            self.raw = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            self.written = {
                number
                for start, end in segments(file.fileno())
                for number in range(start // CHUNK, -(-end // CHUNK))
            }
        self.chance = chance
        self.done: list[str] = []
        self.length = len(self.raw)  # less where the image is cut off

    def get(self, at: int, size: int, big: bool = False) -> int:
        return int.from_bytes(self.raw[at : at + size], "big" if big else "little")

    def put(self, at: int, size: int, value: int, big: bool = False) -> None:
        value &= (1 << 8 * size) - 1
        self.write(at, value.to_bytes(size, "big" if big else "little"))

    def write(self, at: int, content: bytes) -> None:
        """Write what fits."""
        fits = max(min(len(content), len(self.raw) - at), 0)
        self.raw[at : at + fits] = content[:fits]
        self.written.update(range(at // CHUNK, -(-(at + fits) // CHUNK)))

    def turn(self, at: int, bit: int) -> None:
        """Flip a bit."""
        self.put(at + bit // 8, 1, self.get(at + bit // 8, 1) ^ 1 << bit % 8)

    def save(self, path: Path) -> None:
        """Write the image, with holes where nothing was written."""
        with path.open("wb") as file:
            file.truncate(self.length)
            for number in sorted(self.written):
                start = number * CHUNK
                content = self.raw[start : min(start + CHUNK, self.length)]
                os.pwrite(file.fileno(), content, start)

    def changes(self, path: Path) -> tuple[Ranges, bool]:
        """Return the ranges that differ from the saved content, and whether all are zero now."""
        ranges: Ranges = []
        to_zeros = True
        with path.open("rb") as file:
            written = {
                start // CHUNK
                for first, last in segments(file.fileno())
                for start in range(first // CHUNK * CHUNK, last, CHUNK)
            }
            for start in sorted(number * CHUNK for number in written | self.written):
                before = self.raw[start : min(start + CHUNK, self.length)]
                after = os.pread(file.fileno(), CHUNK, start)
                for at in range(0, 0 if before == after else len(before), PIECE):
                    piece = after[at : at + PIECE]
                    if before[at : at + PIECE] != piece:
                        to_zeros = to_zeros and not piece.strip(b"\0")
                        if ranges and ranges[-1][1] == start + at:
                            ranges[-1] = (ranges[-1][0], start + at + len(piece))
                        else:
                            ranges.append((start + at, start + at + len(piece)))
        return ranges, to_zeros

    def often(self, probability: float) -> bool:
        return self.chance.random() < probability

    def flip(self, region: Region) -> None:
        for _ in range(self.chance.choice([1, 1, 1, 2, 3, 8])):
            at, bit = self.chance.randrange(region.size), self.chance.randrange(8)
            self.turn(region.start + at, bit)
            self.done.append(f"bit {bit} of byte {at:#x} of {region.name}")

    def field(self, region: Region, big: bool = False) -> None:
        """Another number in one of the fields of the region."""
        offset, size = self.chance.choice(region.fields)
        at, most = region.start + offset, (1 << 8 * size) - 1
        old = self.get(at, size, big)
        others = [other for other, width in region.fields if width == size and other != offset]
        how = self.chance.randrange(8)
        if how == 7 and others:
            other = region.start + self.chance.choice(others)
            self.put(at, size, self.get(other, size, big), big)
            self.put(other, size, old, big)
        else:
            choices: list[Callable[[], int]] = [
                lambda: 0,
                lambda: most,
                lambda: old + 1,
                lambda: old - 1,
                lambda: self.chance.randrange(most + 1),
                lambda: old ^ 1 << self.chance.randrange(8 * size),
                lambda: self.chance.choice([old * 2, old // 2, 1, 2, old + 8, old - 8]),
                lambda: old & most >> 1,
            ]
            self.put(at, size, choices[how](), big)
        new = self.get(at, size, big)
        self.done.append(f"{region.name}: {old:#x} at {offset:#x} became {new:#x}")

    def fill(self, region: Region) -> None:
        """Zeros, ones or anything in place of a part of it."""
        start = self.chance.randrange(region.size)
        length = self.chance.choice([4, 16, 64, region.size])
        length = min(length, region.size - start)
        kind = self.chance.choice(["zeros", "ones", "noise"])
        content = {"zeros": bytes(length), "ones": b"\xff" * length}.get(kind)
        self.write(region.start + start, content or self.chance.randbytes(length))
        self.done.append(f"{length} bytes of {kind} at {start:#x} of {region.name}")

    def graft(self, region: Region, other: Draft, whose: str) -> None:
        self.write(region.start, other.raw[region.start : region.start + region.size])
        self.done.append(f"{region.name} of {whose}")

    def any_simple(self, regions: Sequence[Region], big: bool = False) -> None:
        """One of the above, in one of the regions."""
        region = self.chance.choice(regions)
        how = self.chance.random()
        if how < 0.6 and region.fields:
            self.field(region, big)
        elif how < 0.9:
            self.flip(region)
        else:
            self.fill(region)


def each(size: int, *offsets: int) -> list[tuple[int, int]]:
    """Fields of one size."""
    return [(offset, size) for offset in offsets]
