"""Superblock and block groups."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from ...extents import Range, Ranges, union
from ..checksums import crc16, crc32c
from ..free_space import UntrustedMetadata
from ..reader import Place

SUPERBLOCK = 1024  # bytes from the start of the filesystem, and its size
MAGIC = 0xEF53

VALID, ERROR = 0x1, 0x2  # s_state

COMPAT_HAS_JOURNAL = 0x4
COMPAT_SPARSE_SUPER2 = 0x200

INCOMPAT_RECOVER = 0x4
INCOMPAT_JOURNAL_DEV = 0x8
INCOMPAT_META_BG = 0x10
INCOMPAT_64BIT = 0x80
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

MAX_GROUPS = 1 << 19  # of 64 TiB as mke2fs makes it

BLOCK_UNINIT = 0x2  # bg_flags: the bitmap was never written, all but metadata is free


class Group(NamedTuple):
    """One block group; addresses are block numbers, ``free`` counts clusters."""

    number: int
    block_bitmap: int
    inode_bitmap: int
    inode_table: int
    free: int
    flags: int
    bitmap_checksum: int


class Filesystem(Place):
    """An ext2/3/4 filesystem between two byte offsets of an image, its descriptions verified.

    Sizes in bytes unless a name says blocks, block numbers count from the filesystem's start.

    :raises UntrustedMetadata: superblock or group descriptors are not in order
    """

    def __init__(self, fd: int, start: int, end: int) -> None:
        super().__init__(fd, start, end)
        raw = self.read(SUPERBLOCK, 1024)

        def u16(offset: int) -> int:
            return int.from_bytes(raw[offset : offset + 2], "little")

        def u32(offset: int) -> int:
            return int.from_bytes(raw[offset : offset + 4], "little")

        if u16(0x38) != MAGIC:
            raise UntrustedMetadata("no ext2/3/4 superblock")
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
                raise UntrustedMetadata("unknown type of checksum")
            if crc32c(raw[:0x3FC]) != u32(0x3FC):
                raise UntrustedMetadata("wrong checksum of the superblock")
            seeded = self.incompat & INCOMPAT_CSUM_SEED
            self.seed = u32(0x270) if seeded else crc32c(self.uuid)

        if u32(0x18) > 6 or u32(0x1C) > 20:
            raise UntrustedMetadata("absurd block size")
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
        # s_jnl_blocks: i_block of the journal's inode once more
        self.journal_backup = raw[0x10C:0x148] if raw[0xFD] == 1 else None
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
            raise UntrustedMetadata("the superblock contradicts itself")
        if self.blocks * self.block > self.end - self.start:
            raise UntrustedMetadata("the filesystem is larger than the space it has")
        self.inode_table_blocks = -(-self.inodes_per_group * self.inode_size // self.block)
        self.group_count = -(-(self.blocks - self.first) // self.per_group)
        if self.group_count > MAX_GROUPS:
            raise UntrustedMetadata(f"it has {self.group_count} block groups")
        self.descriptors_per_block = self.block // self.descriptor
        self.groups = self.read_groups()

    def read_block(self, number: int) -> bytes:
        if not self.first <= number < self.blocks:
            raise UntrustedMetadata(f"block {number} is asked for, which it does not have")
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

    def read_groups(self) -> list[Group]:
        count = -(-self.group_count // self.descriptors_per_block)
        if self.incompat & INCOMPAT_META_BG:
            raw = b"".join(
                self.read(self.descriptor_block(index) * self.block, self.block)
                for index in range(count)
            )
        else:
            raw = self.read(self.descriptor_block(0) * self.block, count * self.block)
        places = range(0, self.group_count * self.descriptor, self.descriptor)
        return [
            self.parse_group(number, raw[place : place + self.descriptor])
            for number, place in enumerate(places)
        ]

    def parse_group(self, number: int, raw: bytes) -> Group:
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
            raise UntrustedMetadata(f"wrong checksum of group descriptor {number}")
        for block, length in ((bitmap, 1), (inodes, 1), (table, self.inode_table_blocks)):
            if block < self.first or block + length > self.blocks:
                raise UntrustedMetadata(f"metadata of group {number} lies outside the filesystem")
        return Group(number, bitmap, inodes, table, free, flags, bitmap_checksum)

    @cached_property
    def metadata(self) -> Ranges:
        """Block ranges of all that has a fixed place: never free, whatever a bitmap says."""
        return union(self._metadata())

    def _metadata(self) -> Iterator[Range]:
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


def _refuse_state(state: int, incompat: int, ro_compat: int) -> None:
    if incompat & INCOMPAT_JOURNAL_DEV:
        raise UntrustedMetadata("the journal of another filesystem")
    if incompat & INCOMPAT_RECOVER:
        raise UntrustedMetadata("its journal needs to be replayed")
    if not state & VALID:
        raise UntrustedMetadata("it was not cleanly unmounted")
    if state & ERROR:
        raise UntrustedMetadata("the kernel has found errors in it")
    unknown = incompat & ~KNOWN_INCOMPAT, ro_compat & ~KNOWN_RO_COMPAT
    if any(unknown):
        raise UntrustedMetadata(
            "it has unknown features: incompat {:#x}, ro_compat {:#x}".format(*unknown)
        )


def _is_power(number: int, base: int) -> bool:
    power = base
    while power < number:
        power *= base
    return power == number
