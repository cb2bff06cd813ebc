"""Damage to ext2, ext3 and ext4, and the checksums and counts that hide it."""

from __future__ import annotations

import struct

from .mutations import (
    FIX_ALL,
    FIX_CHECKSUMS,
    FIX_NOTHING,
    OTHERS,
    Draft,
    Region,
    States,
    crc16,
    crc32c,
    each,
)

SUPERBLOCK = each(4, 0x0, 0x4, 0x8, 0xC, 0x10, 0x14, 0x18, 0x1C, 0x20, 0x24, 0x28, 0x4C, 0x54)
SUPERBLOCK += each(4, 0x5C, 0x60, 0x64, 0xE0, 0x104, 0x10C, 0x120, 0x150, 0x158, 0x24C, 0x270)
SUPERBLOCK += each(2, 0x38, 0x3A, 0x58, 0xCE, 0xFE) + each(1, 0xFD, 0x174, 0x175)
DESCRIPTOR = each(4, 0x0, 0x4, 0x8) + each(2, 0xC, 0xE, 0x10, 0x12, 0x18, 0x1A, 0x1C, 0x1E)
WIDE = [*DESCRIPTOR, *each(4, 0x20, 0x24, 0x28), *each(2, 0x2C, 0x2E, 0x38, 0x3A)]
TREE = each(2, 0x0, 0x2, 0x4, 0x6, 0x10, 0x12) + each(4, 0xC, 0x14, 0x18, 0x20)
INODE = each(2, 0x0, 0x2, 0x1A, 0x80) + each(4, 0x4, 0x1C, 0x20, 0x64, 0x6C)
INODE += [(0x28 + offset, size) for offset, size in TREE]
JOURNAL = each(4, *range(0x0, 0x34, 4), 0x54, 0xFC) + each(1, 0x50)
POINTERS = each(4, *range(0, 64, 4))

EXTENTS, EXTENT_MAGIC = 0x80000, 0xF30A
GDT_CSUM, METADATA_CSUM, CSUM_SEED, META_BG, IS_64BIT = 0x10, 0x400, 0x2000, 0x10, 0x80
BLOCK_UNINIT = 0x2


class Ext:
    """The places of metadata in a sound filesystem that begins at a byte of the draft."""

    def __init__(self, draft: Draft, at: int) -> None:
        self.draft, self.at = draft, at
        self.superblock = at + 1024
        get = self._get
        self.block, self.cluster = 1024 << get(0x18, 4), 1
        self.first, self.blocks = get(0x14, 4), get(0x4, 4)
        self.ro_compat, incompat = (get(0x64, 4), get(0x60, 4)) if get(0x4C, 4) else (0, 0)
        if self.ro_compat & 0x200:
            self.cluster = (1024 << get(0x1C, 4)) // self.block
        self.per_group, self.inode_size = get(0x20, 4), get(0x58, 2) if get(0x4C, 4) else 128
        self.seeded = bool(incompat & CSUM_SEED)
        self.wide = get(0xFE, 2) if incompat & IS_64BIT else 32
        self.groups = -(-(self.blocks - self.first) // self.per_group)
        self.descriptors = [self._descriptor(i, incompat) for i in range(self.groups)]
        self.bitmaps = [at + draft.get(d, 4) * self.block for d in self.descriptors]
        table = draft.get(self.descriptors[0] + 8, 4)
        self.inode = at + table * self.block + 7 * self.inode_size
        self.leaves: list[int] = []
        self.log = 0  # the superblock of the journal
        if get(0x5C, 4) & 0x4 and get(0x4C, 4):
            self._find_journal()

    def _get(self, offset: int, size: int) -> int:
        return self.draft.get(self.superblock + offset, size)

    def _descriptor(self, group: int, incompat: int) -> int:
        per_block = self.block // self.wide
        block = 1024 // self.block + 1 + group // per_block
        if incompat & META_BG and group >= per_block:
            start = self.first + group // per_block * per_block * self.per_group
            block = start + (1 if self._has_super(group // per_block * per_block) else 0)
        return self.at + block * self.block + group % per_block * self.wide

    def _has_super(self, group: int) -> bool:
        return group in (0, 1, 3, 5, 7, 9, 25, 27, 49) or not self.ro_compat & 1

    def _find_journal(self) -> None:
        draft, tree = self.draft, self.inode + 0x28
        if not draft.get(self.inode + 0x20, 4) & EXTENTS:
            self.log = self.at + draft.get(tree, 4) * self.block
            single, double = (draft.get(tree + 4 * i, 4) for i in (12, 13))
            blocks = [single, double]
            if double:
                below = self.at + double * self.block
                blocks += [draft.get(below + 4 * i, 4) for i in range(self.block // 4)]
            self.leaves = [self.at + block * self.block for block in blocks if block]
            return
        node = tree
        if draft.get(tree + 6, 2):
            count = draft.get(tree + 2, 2)
            self.leaves = [
                self.at + draft.get(tree + 16 + 12 * i, 4) * self.block for i in range(count)
            ]
            node = self.leaves[0]
        self.log = self.at + draft.get(node + 20, 4) * self.block

    def regions(self) -> list[Region]:
        """Pieces of metadata that are damaged one by one, those more often that are there more."""
        width = WIDE if self.wide >= 64 else DESCRIPTOR
        found = [Region("superblock", self.superblock, 1024, SUPERBLOCK)] * 4
        for i in range(min(self.groups, 4)):
            found.append(Region(f"descriptor {i}", self.descriptors[i], self.wide, width))
            found.append(Region(f"bitmap {i}", self.bitmaps[i], min(self.per_group // 8, 512)))
        if self.log:
            found += [Region("inode 8", self.inode, min(self.inode_size, 160), INODE)] * 2
            found += [Region("journal superblock", self.log, 256, JOURNAL)] * 2
            fields = TREE if self.draft.get(self.inode + 0x20, 4) & EXTENTS else POINTERS
            found += [Region("journal tree", leaf, 512, fields) for leaf in self.leaves]
        return found

    def damage(self, states: States) -> None:
        """Do one thing; ``states`` gives whole images of the same geometry."""
        draft, how = self.draft, self.draft.chance.random()
        if how < 0.55:
            draft.any_simple(self.regions())
        elif how < 0.67:
            self._pair()
        elif how < 0.77:
            self._call_free()
        elif how < 0.85 and self.log:
            self._move_journal()
        else:
            self._graft(states)

    def _pair(self) -> None:
        """A used cluster becomes free, a free one used."""
        chance = self.draft.chance
        group = chance.randrange(self.groups)
        bitmap, bits = self.bitmaps[group], self._bits(group)
        for value in (0, 1):
            wanted = [bit for bit in range(bits) if self._bit(bitmap, bit) != value]
            if wanted:
                bit = chance.choice(wanted)
                self.draft.turn(bitmap, bit)
                self.draft.done.append(f"bit {bit} of bitmap {group} became {value}")

    def _call_free(self) -> None:
        group = self.draft.chance.randrange(self.groups)
        bits = self._bits(group)
        start = self.draft.chance.randrange(bits)
        end = min(start + self.draft.chance.choice([1, 4, 16, 200]), bits)
        for bit in range(start, end):
            if self._bit(self.bitmaps[group], bit):
                self.draft.turn(self.bitmaps[group], bit)
        self.draft.done.append(f"bits {start} to {end} of bitmap {group} became 0")

    def _move_journal(self) -> None:
        """Let the journal have other blocks, and the copy in the superblock say the same."""
        draft = self.draft
        tree = draft.chance.choice([self.inode + 0x28, *self.leaves])
        if draft.get(self.inode + 0x20, 4) & EXTENTS:
            at = tree + 20 + 12 * draft.chance.randrange(max(draft.get(tree + 2, 2), 1))
        else:
            at = tree + 4 * draft.chance.randrange(15)
        old, new = draft.get(at, 4), draft.chance.randrange(self.blocks)
        if draft.often(0.3):
            new = old + draft.chance.choice([-1, 1, 16])
        draft.put(at, 4, new)
        draft.done.append(f"block {old} of the journal became {new}")
        if draft.often(0.8):
            draft.write(self.superblock + 0x10C, draft.raw[self.inode + 0x28 : self.inode + 0x64])

    def _graft(self, states: States) -> None:
        draft = self.draft
        whose = draft.chance.choice(OTHERS)
        superblock = [Region("superblock", self.superblock, 1024)]
        descriptors = [Region("descriptors", d, self.wide) for d in self.descriptors]
        bitmaps = [Region("bitmaps", b, self.block) for b in self.bitmaps]
        pieces = draft.chance.choice(
            [superblock, descriptors, bitmaps, descriptors + bitmaps]
            + [superblock + descriptors + bitmaps] * 3
            + ([[Region("inode 8", self.inode, self.inode_size)]] if self.log else [])
        )
        source = states(whose)
        for piece in pieces:
            draft.graft(piece, source, whose)
        draft.done = list(dict.fromkeys(draft.done))

    def _bits(self, group: int) -> int:
        first = self.first + group * self.per_group
        return -(-(min(first + self.per_group, self.blocks) - first) // self.cluster)

    def _bit(self, bitmap: int, bit: int) -> int:
        return self.draft.raw[bitmap + bit // 8] >> bit % 8 & 1

    def fix(self, level: int) -> None:
        """Make counts and checksums agree with what is there."""
        if level == FIX_ALL:
            self._fix_counts()
        if level >= FIX_CHECKSUMS:
            self._fix_checksums()
        if level != FIX_NOTHING:
            self.draft.done.append("counts, checksums" if level == FIX_ALL else "checksums")

    def _fix_counts(self) -> None:
        free = 0
        for group, descriptor in enumerate(self.descriptors):
            flags = self.draft.get(descriptor + 0x12, 2)
            if flags & BLOCK_UNINIT and self.ro_compat & (GDT_CSUM | METADATA_CSUM):
                free += self.draft.get(descriptor + 0xC, 2)
                continue
            bitmap = self.bitmaps[group]
            count = sum(not self._bit(bitmap, bit) for bit in range(self._bits(group)))
            self.draft.put(descriptor + 0xC, 2, count)
            free += count
        self.draft.put(self.superblock + 0xC, 4, free * self.cluster)

    def _fix_checksums(self) -> None:
        draft, raw = self.draft, self.draft.raw
        uuid = bytes(raw[self.superblock + 0x68 : self.superblock + 0x78])
        csum = bool(self.ro_compat & METADATA_CSUM)
        seed = self._get(0x270, 4) if self.seeded else crc32c(uuid)
        for group, (descriptor, bitmap) in enumerate(zip(self.descriptors, self.bitmaps)):
            number = struct.pack("<I", group)
            if csum:
                length = self.per_group // self.cluster // 8
                value = crc32c(bytes(raw[bitmap : bitmap + length]), seed)
                draft.put(descriptor + 0x18, 2, value)
                if self.wide >= 64:
                    draft.put(descriptor + 0x38, 2, value >> 16)
            entry = bytes(raw[descriptor : descriptor + self.wide])
            if csum:
                cleared = entry[:0x1E] + bytes(2) + entry[0x20:]
                draft.put(descriptor + 0x1E, 2, crc32c(cleared, crc32c(number, seed)))
            elif self.ro_compat & GDT_CSUM:
                value = crc16(entry[0x20:], crc16(entry[:0x1E], crc16(number, crc16(uuid))))
                draft.put(descriptor + 0x1E, 2, value)
        if self.log:
            self._fix_journal(seed, csum)
        if csum:
            whole = bytes(raw[self.superblock : self.superblock + 0x3FC])
            draft.put(self.superblock + 0x3FC, 4, crc32c(whole))

    def _fix_journal(self, seed: int, csum: bool) -> None:
        draft, raw = self.draft, self.draft.raw
        if draft.get(self.log + 0x28, 4, big=True) & 0x18:
            journal = bytearray(raw[self.log : self.log + 1024])
            journal[0xFC:0x100] = bytes(4)
            draft.put(self.log + 0xFC, 4, crc32c(bytes(journal)), big=True)
        if not csum:
            return
        seed = crc32c(struct.pack("<I", 8), seed)
        seed = crc32c(bytes(raw[self.inode + 0x64 : self.inode + 0x68]), seed)
        for leaf in self.leaves:
            tail = 12 * (draft.get(leaf + 4, 2) + 1)
            if tail + 4 <= self.block:
                draft.put(leaf + tail, 4, crc32c(bytes(raw[leaf : leaf + tail]), seed))
        inode = bytearray(raw[self.inode : self.inode + self.inode_size])
        inode[0x7C:0x7E] = bytes(2)
        if len(inode) > 128:
            inode[0x82:0x84] = bytes(2)
        value = crc32c(bytes(inode), seed)
        draft.put(self.inode + 0x7C, 2, value)
        if len(inode) > 128:
            draft.put(self.inode + 0x82, 2, value >> 16)
