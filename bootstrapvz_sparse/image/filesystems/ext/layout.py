"""The layout of an ext2, ext3 or ext4 filesystem: groups and everything at a fixed location."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from functools import cached_property
from typing import NamedTuple

from ...extents import Range, Ranges, union
from ...view import Map
from ..checksums import crc16, crc32c
from ..free_space import UntrustedMetadata
from ..reader import BoundedReader
from . import structs
from .superblock import (
    COMPAT_SPARSE_SUPER2,
    INCOMPAT_CSUM_SEED,
    INCOMPAT_META_BG,
    RO_COMPAT_GDT_CSUM,
    RO_COMPAT_METADATA_CSUM,
    RO_COMPAT_SPARSE_SUPER,
    SUPERBLOCK_OFFSET,
    geometry,
    parse,
    require_clean_state,
    verify_checksum,
)

BG_BLOCK_UNINIT = 0x2  # bg_flags: the bitmap was never written, everything but metadata is free
BG_CHECKSUM = slice(0x1E, 0x20)  # of a descriptor


class Group(NamedTuple):
    """A block group; addresses are block numbers, ``free_clusters`` counts clusters."""

    number: int
    block_bitmap: int
    inode_bitmap: int
    inode_table: int
    free_clusters: int
    flags: int
    block_bitmap_csum: int


class Filesystem(BoundedReader):
    """An ext2, ext3 or ext4 filesystem with a verified superblock and verified descriptors.

    Sizes are in bytes unless a name says blocks. Block numbers count from the filesystem's start.

    :raises UntrustedMetadata: superblock or group descriptors are not in order
    :raises OSError: the image cannot be read
    """

    def __init__(self, where: Map) -> None:
        super().__init__(where)
        raw = self.read(SUPERBLOCK_OFFSET, structs.SUPER_BLOCK.size)
        self.sb = parse(raw)
        require_clean_state(self.sb)
        verify_checksum(self.sb, raw)
        self.geometry = geometry(self.sb, self.size)
        self.metadata_csum = bool(self.sb.s_feature_ro_compat & RO_COMPAT_METADATA_CSUM)
        self.csum_seed = self._csum_seed()
        self.groups = self._read_groups()

    def _csum_seed(self) -> int:
        if not self.metadata_csum:
            return 0
        if self.sb.s_feature_incompat & INCOMPAT_CSUM_SEED:
            return self.sb.s_checksum_seed
        return crc32c(self.sb.s_uuid)

    def read_block(self, number: int) -> bytes:
        """Return the content of a block.

        :raises UntrustedMetadata: there is no such block
        """
        if not self.geometry.first_data_block <= number < self.geometry.blocks_count:
            raise UntrustedMetadata(f"block {number} is outside the filesystem")
        block_size = self.geometry.block_size
        return self.read(number * block_size, block_size)

    @cached_property
    def super_groups(self) -> Collection[int]:
        """The groups that hold a copy of the superblock and of the descriptors."""
        count = self.geometry.groups_count
        if self.sb.s_feature_compat & COMPAT_SPARSE_SUPER2:
            backups = {self.sb.s_backup_bgs_0, self.sb.s_backup_bgs_1}
            return {0, *(group for group in backups if group < count)}
        if not self.sb.s_feature_ro_compat & RO_COMPAT_SPARSE_SUPER:
            return range(count)
        powers = {base**power for base in (3, 5, 7) for power in range(count.bit_length())}
        return {0, *(group for group in powers if group < count)}

    def first_block(self, group: int) -> int:
        """Return the number of the group's first block."""
        return self.geometry.first_data_block + group * self.geometry.blocks_per_group

    def _descriptor_block(self, index: int) -> int:
        """Return the block that holds the ``index``-th block of group descriptors."""
        after_superblock = SUPERBLOCK_OFFSET // self.geometry.block_size + 1
        meta_bg = self.sb.s_feature_incompat & INCOMPAT_META_BG
        if not meta_bg or index < self.sb.s_first_meta_bg:
            return after_superblock + index
        group = index * self.geometry.desc_per_block
        if group == 0:
            return after_superblock
        return self.first_block(group) + (group in self.super_groups)

    def _read_descriptors(self) -> bytes:
        count = -(-self.geometry.groups_count // self.geometry.desc_per_block)
        block_size = self.geometry.block_size
        if self.sb.s_feature_incompat & INCOMPAT_META_BG:
            raw = b"".join(
                self.read(self._descriptor_block(index) * block_size, block_size)
                for index in range(count)
            )
        else:
            raw = self.read(self._descriptor_block(0) * block_size, count * block_size)
        return raw[: self.geometry.groups_count * self.geometry.desc_size]

    def _read_groups(self) -> list[Group]:
        raw = self._read_descriptors()
        checksums = self._descriptor_checksums(raw)
        descriptors = structs.group_desc(self.geometry.desc_size).iter_unpack(raw)
        groups = []
        for number, desc in enumerate(descriptors):
            if checksums and desc.bg_checksum != next(checksums):
                raise UntrustedMetadata(f"wrong checksum of group descriptor {number}")
            groups.append(
                Group(
                    number,
                    desc.bg_block_bitmap_lo | desc.bg_block_bitmap_hi << 32,
                    desc.bg_inode_bitmap_lo | desc.bg_inode_bitmap_hi << 32,
                    desc.bg_inode_table_lo | desc.bg_inode_table_hi << 32,
                    desc.bg_free_blocks_count_lo | desc.bg_free_blocks_count_hi << 16,
                    desc.bg_flags if checksums else 0,  # without checksums they have no meaning
                    desc.bg_block_bitmap_csum_lo | desc.bg_block_bitmap_csum_hi << 16,
                )
            )
        self._verify_places(groups)
        return groups

    def _descriptor_checksums(self, raw: bytes) -> Iterator[int] | None:
        """Return the expected bg_checksum of each descriptor, None if there are none."""
        if self.metadata_csum:
            return self._crc32c_checksums(raw)
        if self.sb.s_feature_ro_compat & RO_COMPAT_GDT_CSUM:
            return self._crc16_checksums(raw)
        return None

    def _crc32c_checksums(self, raw: bytes) -> Iterator[int]:
        size = self.geometry.desc_size
        for number, start in enumerate(range(0, len(raw), size)):
            desc = bytearray(raw[start : start + size])
            desc[BG_CHECKSUM] = bytes(2)
            yield crc32c(struct.pack("<I", number) + desc, self.csum_seed) & 0xFFFF

    def _crc16_checksums(self, raw: bytes) -> Iterator[int]:
        size, seed = self.geometry.desc_size, crc16(self.sb.s_uuid)
        for number, start in enumerate(range(0, len(raw), size)):
            desc = raw[start : start + size]
            covered = desc[: BG_CHECKSUM.start] + desc[BG_CHECKSUM.stop :]
            yield crc16(struct.pack("<I", number) + covered, seed)

    def _verify_places(self, groups: list[Group]) -> None:
        first, end = self.geometry.first_data_block, self.geometry.blocks_count
        last_table = end - self.geometry.itb_per_group
        for group in groups:
            if not (
                first <= group.block_bitmap < end
                and first <= group.inode_bitmap < end
                and first <= group.inode_table <= last_table
            ):
                raise UntrustedMetadata(
                    f"group {group.number}: metadata lies outside the filesystem"
                )

    @cached_property
    def metadata(self) -> Ranges:
        """The block ranges at fixed locations: never free, whatever a bitmap says."""
        return union(self._metadata())

    def _metadata(self) -> Iterator[Range]:
        for group in self.groups:
            yield group.block_bitmap, group.block_bitmap + 1
            yield group.inode_bitmap, group.inode_bitmap + 1
            yield group.inode_table, group.inode_table + self.geometry.itb_per_group
        if self.sb.s_feature_incompat & INCOMPAT_META_BG:
            for number in range(self.geometry.groups_count):
                yield from self._superblock_and_descriptors(number)
        else:
            for number in self.super_groups:
                yield from self._superblock_and_descriptors(number)

    def _superblock_and_descriptors(self, group: int) -> Iterator[Range]:
        desc_per_block = self.geometry.desc_per_block
        meta_bg = self.sb.s_feature_incompat & INCOMPAT_META_BG
        first = self.first_block(group)
        if group == 0:
            first = SUPERBLOCK_OFFSET // self.geometry.block_size
            yield 0, first + 1
        has_super = group in self.super_groups
        if has_super:
            yield first, first + 1
        if not meta_bg or group // desc_per_block < self.sb.s_first_meta_bg:
            if has_super:
                blocks = -(-self.geometry.groups_count // desc_per_block)
                if meta_bg:
                    blocks = min(self.sb.s_first_meta_bg, blocks)
                yield first + 1, first + 1 + blocks + self.sb.s_reserved_gdt_blocks
        elif group % desc_per_block in (0, 1, desc_per_block - 1):
            # the first, second and last group of a meta group hold its descriptors
            yield first + has_super, first + has_super + 1
