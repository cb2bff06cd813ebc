"""What ext2, ext3 and ext4 do not need, from the bitmaps in the image and from its journal.

On-disk format: https://docs.kernel.org/filesystems/ext4/ ; names of fields and flags are those
of that page. A filesystem is trusted only when it was cleanly unmounted, has no error and no
journal to replay, has no feature unknown here, and when every checksum and every count of free
blocks agrees. All numbers are little endian, but for those of the journal.
"""

from __future__ import annotations

import bisect
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from ..extents import Range, Ranges, complement, intersection, union
from .trust import NotTrusted, Unneeded

SUPERBLOCK = 1024  # bytes from the start of the filesystem, and its size
MAGIC = 0xEF53

VALID, ERROR = 0x1, 0x2  # s_state

COMPAT_HAS_JOURNAL = 0x4
COMPAT_SPARSE_SUPER2 = 0x200

INCOMPAT_RECOVER = 0x4
INCOMPAT_JOURNAL_DEV = 0x8
INCOMPAT_META_BG = 0x10
INCOMPAT_64BIT = 0x80
INCOMPAT_MMP = 0x100
INCOMPAT_CSUM_SEED = 0x2000
# filetype meta_bg extents 64bit mmp flex_bg ea_inode csum_seed largedir inline_data encrypt
# casefold; left out: compression, recover, journal_dev, dirdata
KNOWN_INCOMPAT = 0x2 | 0x10 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000
KNOWN_INCOMPAT |= 0x10000 | 0x20000

RO_COMPAT_SPARSE_SUPER = 0x1
RO_COMPAT_GDT_CSUM = 0x10
RO_COMPAT_BIGALLOC = 0x200
RO_COMPAT_METADATA_CSUM = 0x400
# sparse_super large_file btree_dir huge_file gdt_csum dir_nlink extra_isize quota bigalloc
# metadata_csum readonly project verity; left out: snapshot, replica, shared_blocks, orphan_present
KNOWN_RO_COMPAT = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x100 | 0x200 | 0x400 | 0x1000
KNOWN_RO_COMPAT |= 0x2000 | 0x8000

BLOCK_UNINIT = 0x2  # bg_flags: the bitmap was never written, all but metadata is free

JOURNAL_INODE = 8
INODE_USES_EXTENTS = 0x80000  # i_flags
EXTENT_MAGIC = 0xF30A
UNWRITTEN = 32768  # ee_len above this: that many less, and not written yet

JOURNAL_MAGIC = 0xC03B3998
JOURNAL_SUPERBLOCKS = (3, 4)  # h_blocktype
JOURNAL_CSUM = 0x8 | 0x10
# s_feature_incompat of the journal: revoke 64bit async_commit csum_v2 csum_v3 fast_commit
KNOWN_JOURNAL = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20


def recognise(fd: int, start: int) -> bool:
    """Tell whether an ext2/3/4 superblock lies where one would if the filesystem did at ``start``.

    ``start`` is in bytes.
    """
    return os.pread(fd, 2, start + SUPERBLOCK + 0x38) == struct.pack("<H", MAGIC)


def unneeded(fd: int, start: int, end: int) -> Unneeded:
    """What the ext2/3/4 filesystem between the bytes ``start`` and ``end`` of the image can lose.

    Reads superblock, group descriptors, block bitmaps, and where the journal lies; nothing else.

    :raises NotTrusted: something does not agree; the text says what
    """
    reader = _Reader(fd, start, end)
    free = reader.free_blocks()
    journal = reader.journal_log()
    if intersection(free, journal):
        raise NotTrusted("blocks of its journal are called free")
    return Unneeded(free=reader.to_bytes(free), journal=reader.to_bytes(journal))


@dataclass(frozen=True)
class _Group:
    """One block group; addresses are block numbers, ``free`` counts clusters."""

    number: int
    block_bitmap: int
    inode_bitmap: int
    inode_table: int
    free: int
    flags: int
    bitmap_checksum: int


class _Reader:
    def __init__(self, fd: int, start: int, end: int) -> None:
        self.fd, self.start, self.end = fd, start, end
        raw = self.read(SUPERBLOCK, 1024)

        def u16(offset: int) -> int:
            return int.from_bytes(raw[offset : offset + 2], "little")

        def u32(offset: int) -> int:
            return int.from_bytes(raw[offset : offset + 4], "little")

        if u16(0x38) != MAGIC:
            raise NotTrusted("no ext2/3/4 superblock")
        dynamic = u32(0x4C) >= 1  # s_rev_level: revision 0 has no features
        self.compat, self.incompat, ro_compat = (
            (u32(0x5C), u32(0x60), u32(0x64)) if dynamic else (0, 0, 0)
        )
        _refuse_state(u16(0x3A), self.incompat, ro_compat)

        self.metadata_csum = bool(ro_compat & RO_COMPAT_METADATA_CSUM)
        self.gdt_csum = not self.metadata_csum and bool(ro_compat & RO_COMPAT_GDT_CSUM)
        self.uuid = raw[0x68:0x78]
        if self.metadata_csum:
            if raw[0x175] != 1:  # s_checksum_type
                raise NotTrusted("unknown type of checksum")
            if crc32c(raw[:0x3FC]) != u32(0x3FC):
                raise NotTrusted("wrong checksum of the superblock")
            seeded = self.incompat & INCOMPAT_CSUM_SEED
            self.seed = u32(0x270) if seeded else crc32c(self.uuid)

        if u32(0x18) > 6 or u32(0x1C) > 20:
            raise NotTrusted("absurd block size")
        self.block = 1024 << u32(0x18)
        self.first = u32(0x14)
        wide = bool(self.incompat & INCOMPAT_64BIT)
        self.blocks = u32(0x04) | (u32(0x150) << 32 if wide else 0)
        self.free = u32(0x0C) | (u32(0x158) << 32 if wide else 0)
        self.per_group = u32(0x20)
        self.clusters_per_group = u32(0x24)
        self.inodes_per_group = u32(0x28)
        self.inode_size = u16(0x58) if dynamic else 128
        self.journal_inode = u32(0xE0) if self.compat & COMPAT_HAS_JOURNAL else 0
        self.cluster = 1  # blocks of a cluster
        if ro_compat & RO_COMPAT_BIGALLOC:
            self.cluster = (1024 << u32(0x1C)) // self.block
        self.descriptor = u16(0xFE) if wide else 32
        self.sparse_super = bool(ro_compat & RO_COMPAT_SPARSE_SUPER)
        self.super_backups = (u32(0x24C), u32(0x250))  # of sparse_super2
        self.reserved_gdt = u16(0xCE) if dynamic else 0
        self.first_meta_bg = u32(0x104)
        if (
            self.first != (0 if self.block > 1024 or self.cluster > 1 else 1)
            or self.blocks <= self.first
            or self.cluster < 1
            or not 1 <= self.clusters_per_group <= 8 * self.block
            or self.per_group != self.clusters_per_group * self.cluster
            or not 1 <= self.inodes_per_group <= 8 * self.block
            or not 128 <= self.inode_size <= self.block
            or not 32 <= self.descriptor <= self.block
            or self.descriptor & (self.descriptor - 1)
        ):
            raise NotTrusted("the superblock contradicts itself")
        if self.blocks * self.block > self.end - self.start:
            raise NotTrusted("the filesystem is larger than the space it has")
        self.inode_table_blocks = -(-self.inodes_per_group * self.inode_size // self.block)
        self.group_count = -(-(self.blocks - self.first) // self.per_group)
        self.descriptors_per_block = self.block // self.descriptor
        self.groups = self.read_groups()

    def read(self, offset: int, length: int) -> bytes:
        """``length`` bytes at ``offset``, counted from the start of the filesystem."""
        if self.start + offset + length > self.end:
            raise NotTrusted("its metadata lies beyond its end")
        found = os.pread(self.fd, length, self.start + offset)
        if len(found) < length:
            raise NotTrusted("the image ends within its metadata")
        return found

    def read_block(self, number: int) -> bytes:
        if not self.first <= number < self.blocks:
            raise NotTrusted(f"block {number} is asked for, which it does not have")
        return self.read(number * self.block, self.block)

    def to_bytes(self, blocks: Ranges) -> Ranges:
        """Byte ranges of the image, of ranges of block numbers."""
        return [(self.start + a * self.block, self.start + b * self.block) for a, b in blocks]

    def has_super(self, group: int) -> bool:
        """Whether the group holds a copy of the superblock and of the descriptors."""
        if group == 0:
            return True
        if self.compat & COMPAT_SPARSE_SUPER2:
            return group in self.super_backups
        if group == 1 or not self.sparse_super:
            return True
        return any(_is_power(group, base) for base in (3, 5, 7))

    def first_block(self, group: int) -> int:
        return self.first + group * self.per_group

    def descriptor_block(self, index: int) -> int:
        """The block that holds the ``index``-th block of group descriptors."""
        if not self.incompat & INCOMPAT_META_BG or index < self.first_meta_bg:
            return SUPERBLOCK // self.block + 1 + index
        group = index * self.descriptors_per_block
        if group == 0:
            return SUPERBLOCK // self.block + 1
        return self.first_block(group) + self.has_super(group)

    def read_groups(self) -> list[_Group]:
        count = -(-self.group_count // self.descriptors_per_block)
        if self.incompat & INCOMPAT_META_BG:
            raw = b"".join(
                self.read(self.descriptor_block(index) * self.block, self.block)
                for index in range(count)
            )
        else:
            raw = self.read(self.descriptor_block(0) * self.block, count * self.block)
        return [
            self.parse_group(number, raw[number * self.descriptor :][: self.descriptor])
            for number in range(self.group_count)
        ]

    def parse_group(self, number: int, raw: bytes) -> _Group:
        bitmap, inodes, table, free, _, _, flags = struct.unpack_from("<IIIHHHH", raw)
        bitmap_checksum, checksum = struct.unpack_from("<H4xH", raw, 0x18)
        if self.descriptor >= 64:
            bitmap_high, inodes_high, table_high, free_high = struct.unpack_from("<IIIH", raw, 0x20)
            bitmap |= bitmap_high << 32
            inodes |= inodes_high << 32
            table |= table_high << 32
            free |= free_high << 16
            bitmap_checksum |= struct.unpack_from("<H", raw, 0x38)[0] << 16
        if self.metadata_csum:
            seed = crc32c(struct.pack("<I", number), self.seed)
            expected = crc32c(raw[:0x1E] + b"\0\0" + raw[0x20:], seed) & 0xFFFF
        elif self.gdt_csum:
            seed = crc16(struct.pack("<I", number), crc16(self.uuid))
            expected = crc16(raw[0x20:], crc16(raw[:0x1E], seed))
        else:
            expected, flags = checksum, 0  # without checksums the flags have no meaning
        if checksum != expected:
            raise NotTrusted(f"wrong checksum of group descriptor {number}")
        for block, length in ((bitmap, 1), (inodes, 1), (table, self.inode_table_blocks)):
            if block < self.first or block + length > self.blocks:
                raise NotTrusted(f"metadata of group {number} lies outside the filesystem")
        return _Group(number, bitmap, inodes, table, free, flags, bitmap_checksum)

    def metadata(self) -> Iterator[Range]:
        """Block ranges of all that has a fixed place: never free, whatever a bitmap says."""
        meta_bg = bool(self.incompat & INCOMPAT_META_BG)
        descriptor_blocks = -(-self.group_count // self.descriptors_per_block)
        old_style = min(self.first_meta_bg, descriptor_blocks) if meta_bg else descriptor_blocks
        for group in self.groups:
            yield group.block_bitmap, group.block_bitmap + 1
            yield group.inode_bitmap, group.inode_bitmap + 1
            yield group.inode_table, group.inode_table + self.inode_table_blocks
            first = self.first_block(group.number)
            if group.number == 0:
                yield 0, SUPERBLOCK // self.block + 1
                first = SUPERBLOCK // self.block
            has_super = self.has_super(group.number)
            if has_super:
                yield first, first + 1
            index = group.number // self.descriptors_per_block
            if not meta_bg or index < self.first_meta_bg:
                if has_super:
                    yield first + 1, first + 1 + old_style + self.reserved_gdt
            else:  # the first, second and last group of a meta group hold its descriptors
                within = group.number % self.descriptors_per_block
                if within in (0, 1, self.descriptors_per_block - 1):
                    yield first + has_super, first + has_super + 1

    def free_blocks(self) -> Ranges:
        """Ranges of the block numbers that the bitmaps call free."""
        metadata = union(self.metadata())
        starts = [start for start, _ in metadata]
        free: Ranges = []
        counted = 0
        for group, bitmap in self.bitmaps():
            first = self.first_block(group.number)
            last = min(first + self.per_group, self.blocks)
            if bitmap is None:
                found = self.all_but(metadata, starts, first, last)
            else:
                found = self.unset(group, bitmap, first, last)
                if _overlap(found, metadata, starts):
                    raise NotTrusted(f"group {group.number} calls its metadata free")
            clusters = sum(-(-(end - start) // self.cluster) for start, end in found)
            if clusters != group.free:
                raise NotTrusted(
                    f"group {group.number} has {clusters} free clusters in its bitmap and "
                    f"{group.free} in its descriptor"
                )
            counted += clusters
            free += found
        if counted * self.cluster != self.free:  # the superblock counts blocks
            raise NotTrusted(
                f"{counted * self.cluster} blocks are free, and the superblock says {self.free}"
            )
        return union(free)

    def bitmaps(self) -> Iterator[tuple[_Group, bytes | None]]:
        """Each group with its block bitmap, or None where none was ever written."""
        ahead: dict[int, bytes] = {}
        blocks = sorted(g.block_bitmap for g in self.groups if not g.flags & BLOCK_UNINIT)
        runs = union((block, block + 1) for block in blocks)
        for group in self.groups:
            if group.flags & BLOCK_UNINIT:
                yield group, None
                continue
            if group.block_bitmap not in ahead:
                # flex_bg puts the bitmaps of many groups side by side: one reading for all
                run = runs[bisect.bisect_right(runs, (group.block_bitmap, self.blocks)) - 1]
                length = min(run[1] - group.block_bitmap, 256)
                raw = self.read(group.block_bitmap * self.block, length * self.block)
                ahead.update(
                    (group.block_bitmap + i, raw[i * self.block : (i + 1) * self.block])
                    for i in range(length)
                )
            yield group, ahead.pop(group.block_bitmap)

    def unset(self, group: _Group, bitmap: bytes, first: int, last: int) -> Ranges:
        """Blocks of the group ``[first, last)`` whose bit is not set."""
        if self.metadata_csum:
            expected = crc32c(bitmap[: self.clusters_per_group // 8], self.seed)
            if self.descriptor < 64:
                expected &= 0xFFFF
            if expected != group.bitmap_checksum:
                raise NotTrusted(f"wrong checksum of the block bitmap of group {group.number}")
        clusters = -(-(last - first) // self.cluster)
        return [
            (first + start * self.cluster, min(first + end * self.cluster, last))
            for start, end in _unset_bits(bitmap[: -(-clusters // 8)], clusters)
        ]

    def all_but(self, metadata: Ranges, starts: list[int], first: int, last: int) -> Ranges:
        """Blocks of the whole clusters of ``[first, last)`` that no metadata touches."""
        index = max(bisect.bisect_right(starts, first) - 1, 0)
        used: Ranges = []
        while index < len(metadata) and metadata[index][0] < last:
            start = max(metadata[index][0], first) - first
            end = min(metadata[index][1], last) - first
            if start < end:
                used.append((start // self.cluster * self.cluster, end + -end % self.cluster))
            index += 1
        return [
            (first + start, first + end) for start, end in complement(union(used), last - first)
        ]

    def journal_log(self) -> Ranges:
        """Ranges of the block numbers of an empty journal, but for its superblock.

        Nobody reads the log of a journal that has nothing to replay, and it is written from its
        beginning again: the first mount finds zeros there, as after mkfs.
        """
        if self.journal_inode == 0:
            return []  # none, or on another device
        if self.journal_inode != JOURNAL_INODE:
            raise NotTrusted("its journal is an unknown inode")
        extents = self.inode_extents(self.journal_inode)
        if not extents or extents[0][0] != 0:
            raise NotTrusted("its journal has no first block")
        raw = self.read_block(extents[0][1])[:1024]
        magic, kind, _, block, length, first, _, log_start, error = struct.unpack_from(">9I", raw)
        if magic != JOURNAL_MAGIC or kind not in JOURNAL_SUPERBLOCKS or block != self.block:
            raise NotTrusted("its journal has no superblock")
        if log_start or error:
            raise NotTrusted("its journal is not empty, or has an error")
        features = int.from_bytes(raw[0x28:0x2C], "big") if kind == 4 else 0
        if features & ~KNOWN_JOURNAL:
            raise NotTrusted(f"its journal has unknown features: {features:#x}")
        if features & JOURNAL_CSUM:
            expected = crc32c(raw[:0xFC] + bytes(4) + raw[0x100:])
            if expected != int.from_bytes(raw[0xFC:0x100], "big"):
                raise NotTrusted("wrong checksum of the superblock of the journal")
        log: Ranges = []
        for logical, physical, count in extents:
            begin, end = max(logical, first, 1), min(logical + count, length)
            log.append((physical + begin - logical, physical + end - logical))
        return union(log)

    def inode_extents(self, number: int) -> list[tuple[int, int, int]]:
        """The blocks of a file: (first logical block, first physical block, count) of each run."""
        group, index = divmod(number - 1, self.inodes_per_group)
        if group >= self.group_count:
            raise NotTrusted(f"inode {number} is asked for, which it does not have")
        place = self.groups[group].inode_table * self.block + index * self.inode_size
        raw = self.read(place, self.inode_size)
        seed = 0
        if self.metadata_csum:
            seed = crc32c(struct.pack("<I", number), self.seed)
            seed = crc32c(raw[0x64:0x68], seed)  # i_generation
            self.check_inode(number, raw, seed)
        tree = raw[0x28:0x64]
        if int.from_bytes(raw[0x20:0x24], "little") & INODE_USES_EXTENTS:
            extents = list(self.extent_tree(tree, seed, depth=None))
        else:
            extents = list(self.block_map(tree))
        extents.sort()
        position = 0
        for logical, physical, count in extents:
            if logical < position or physical < self.first or physical + count > self.blocks:
                raise NotTrusted(f"inode {number} has impossible blocks")
            position = logical + count
        return extents

    def check_inode(self, number: int, raw: bytes, seed: int) -> None:
        found = int.from_bytes(raw[0x7C:0x7E], "little")
        cleared = raw[:0x7C] + b"\0\0" + raw[0x7E:]
        if self.inode_size > 128 and int.from_bytes(raw[0x80:0x82], "little") >= 4:
            found |= int.from_bytes(raw[0x82:0x84], "little") << 16
            cleared = cleared[:0x82] + b"\0\0" + cleared[0x84:]
            mask = 0xFFFFFFFF
        else:
            mask = 0xFFFF
        if crc32c(cleared, seed) & mask != found:
            raise NotTrusted(f"wrong checksum of inode {number}")

    def extent_tree(
        self, node: bytes, seed: int, depth: int | None
    ) -> Iterator[tuple[int, int, int]]:
        """The leaves below ``node``, whose depth must be ``depth``, None at the root."""
        magic, entries, most, found_depth = struct.unpack_from("<HHHH", node)
        if (
            magic != EXTENT_MAGIC
            or entries > most
            or 12 * (most + 1) > len(node)
            or (found_depth > 5 if depth is None else found_depth != depth)
        ):
            raise NotTrusted("a broken extent tree")
        if depth is not None and self.metadata_csum:
            tail = 12 * (most + 1)
            if crc32c(node[:tail], seed) != int.from_bytes(node[tail : tail + 4], "little"):
                raise NotTrusted("wrong checksum of an extent tree")
        for entry in range(12, 12 * (entries + 1), 12):
            if found_depth:
                _, low, high = struct.unpack_from("<IIH", node, entry)
                yield from self.extent_tree(
                    self.read_block(low | high << 32), seed, found_depth - 1
                )
            else:
                logical, length, high, low = struct.unpack_from("<IHHI", node, entry)
                count = length - UNWRITTEN if length > UNWRITTEN else length
                yield logical, low | high << 32, count

    def block_map(self, pointers: bytes) -> Iterator[tuple[int, int, int]]:
        """The blocks of a file of ext2 or ext3: twelve direct, and one of each indirection."""
        per_block = self.block // 4
        logical = 0
        for index, pointer in enumerate(struct.unpack("<15I", pointers)):
            depth = max(index - 11, 0)
            if pointer:
                yield from self.indirect(pointer, depth, logical)
            logical += per_block**depth

    def indirect(self, pointer: int, depth: int, logical: int) -> Iterator[tuple[int, int, int]]:
        if depth == 0:
            yield logical, pointer, 1
            return
        span = (self.block // 4) ** (depth - 1)
        for index, (below,) in enumerate(struct.iter_unpack("<I", self.read_block(pointer))):
            if below:
                yield from self.indirect(below, depth - 1, logical + index * span)


def _refuse_state(state: int, incompat: int, ro_compat: int) -> None:
    if incompat & INCOMPAT_JOURNAL_DEV:
        raise NotTrusted("the journal of another filesystem")
    if incompat & INCOMPAT_RECOVER:
        raise NotTrusted("its journal needs to be replayed")
    if not state & VALID:
        raise NotTrusted("it was not cleanly unmounted")
    if state & ERROR:
        raise NotTrusted("the kernel has found errors in it")
    unknown = incompat & ~KNOWN_INCOMPAT, ro_compat & ~KNOWN_RO_COMPAT
    if any(unknown):
        raise NotTrusted(
            "it has unknown features: incompat {:#x}, ro_compat {:#x}".format(*unknown)
        )


def _is_power(number: int, base: int) -> bool:
    power = base
    while power < number:
        power *= base
    return power == number


def _overlap(ranges: Ranges, metadata: Ranges, starts: list[int]) -> bool:
    for start, end in ranges:
        index = bisect.bisect_left(starts, end) - 1
        if index >= 0 and metadata[index][1] > start:
            return True
    return False


_ZEROS = re.compile("0+")


def _unset_bits(bitmap: bytes, count: int) -> Iterator[Range]:
    """Runs of zero bits among the first ``count``, the least significant bit of a byte first."""
    # a number's binary digits as text, lowest first, searched by the regular expression engine
    sentinel = 1 << (8 * len(bitmap))
    digits = bin(int.from_bytes(bitmap, "little") | sentinel)[:2:-1][:count]
    return (match.span() for match in _ZEROS.finditer(digits))


def _table(polynomial: int) -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
        table.append(value)
    return table


_CRC32C = _table(0x82F63B78)
_CRC16 = _table(0xA001)


@lru_cache(maxsize=64)  # the bitmaps of empty groups are all alike
def crc32c(data: bytes, crc: int = 0xFFFFFFFF) -> int:
    """CRC-32C (Castagnoli) as ext4 uses it: reflected, not inverted at the end."""
    table = _CRC32C
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc


def crc16(data: bytes, crc: int = 0xFFFF) -> int:
    """CRC-16 (ANSI) as uninit_bg uses it."""
    for byte in data:
        crc = _CRC16[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc
