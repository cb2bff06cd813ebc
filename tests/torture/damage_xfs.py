"""Damage to XFS, and the checksums and counts that hide it."""

from __future__ import annotations

from .mutations import (
    FIX_ALL,
    FIX_CHECKSUMS,
    FIX_NOTHING,
    OTHERS,
    Draft,
    Region,
    States,
    crc32c,
    each,
)

SUPERBLOCK = each(8, 8, 16, 48, 56, 128, 136, 144, 240) + each(4, 0, 4, 84, 88, 92, 96, 200, 204)
SUPERBLOCK += each(4, 208, 212, 216, 220, 224) + each(2, 100, 102, 104)
SUPERBLOCK += each(1, 120, 121, 122, 123, 124, 125, 126)
AGF = each(4, *range(0, 64, 4), 80, 84, 88, 92) + each(8, 208)
AGI = each(4, *range(0, 36, 4), 328, 332) + each(8, 320)
AGFL = each(4, 0, 4, *range(36, 64, 4), 76) + each(8, 24)
NODE = each(2, 4, 6) + each(4, 0, 8, 12, 16, 20, 24, 28, 48, 56, 60, 64, 68) + each(8, 16, 24)
RECORD = each(4, 0, 4, 8, 12, 32, 36, 40, 44, 320) + each(8, 16, 24)  # of the log
Records = list[tuple[int, int]]


class Xfs:
    """The places of metadata in a sound filesystem that begins at a byte of the draft."""

    def __init__(self, draft: Draft, at: int) -> None:
        self.draft, self.at = draft, at
        self.block, self.sector = self._get(at + 4, 4), self._get(at + 102, 2)
        self.v5 = self._get(at + 100, 2) & 0xF == 5
        self.header = 56 if self.v5 else 16
        self.group_bytes = self._get(at + 84, 4) * self.block
        self.groups = [at + i * self.group_bytes for i in range(self._get(at + 88, 4))]
        start, shift = self._get(at + 48, 8), draft.raw[at + 124]
        within = start & (1 << shift) - 1
        self.log = at + (start >> shift) * self.group_bytes + within * self.block
        self.trees = [
            (self._tree(group, self._agf(group, 16)), self._tree(group, self._agf(group, 20)))
            for group in self.groups
        ]
        self.free = sum(total for total, _ in map(self._totals, range(len(self.groups))))

    def _get(self, at: int, size: int) -> int:
        return self.draft.get(at, size, big=True)

    def _put(self, at: int, size: int, value: int) -> None:
        self.draft.put(at, size, value, big=True)

    def _agf(self, group: int, offset: int) -> int:
        return self._get(group + self.sector + offset, 4)

    def _tree(self, group: int, root: int) -> list[list[int]]:
        """The bytes where its blocks are, by level from the root, each from left to right."""
        levels = [[group + root * self.block]]
        most = (self.block - self.header) // 12
        while self._get(levels[-1][0] + 4, 2):
            levels.append(
                [
                    group + self._get(node + self.header + 8 * most + 4 * i, 4) * self.block
                    for node in levels[-1]
                    for i in range(self._get(node + 6, 2))
                ]
            )
        return levels

    def _records(self, leaf: int) -> Records:
        start = leaf + self.header
        count = min(self._get(leaf + 6, 2), (self.block - self.header) // 8)
        return [
            (self._get(start + 8 * i, 4), self._get(start + 8 * i + 4, 4)) for i in range(count)
        ]

    def _totals(self, group: int) -> tuple[int, int]:
        """Free blocks of a group, and its longest extent."""
        lengths = [length for leaf in self.trees[group][0][-1] for _, length in self._records(leaf)]
        return sum(lengths), max(lengths, default=0)

    def regions(self) -> list[Region]:
        found = [Region("superblock", self.at, 264, SUPERBLOCK)] * 3
        found += [Region("log", self.log, 1024, RECORD)] * 2
        for number, group in enumerate(self.groups):
            agf, agi, agfl = (group + i * self.sector for i in (1, 2, 3))
            found += [Region(f"AGF {number}", agf, 224, AGF)] * 2
            found.append(Region(f"AGI {number}", agi, 336, AGI))
            found.append(Region(f"AGFL {number}", agfl, 100, AGFL))
            for tree, name in zip(self.trees[number], ("by place", "by size")):
                blocks = [block for level in tree for block in level]
                block = self.draft.chance.choice(blocks)
                found.append(Region(f"tree {name} of group {number}", block, 256, NODE))
        return found

    def damage(self, states: States) -> None:
        """Do one thing; ``states`` gives whole images of the same geometry."""
        how = self.draft.chance.random()
        if how < 0.6:
            self.draft.any_simple(self.regions(), big=True)
        elif how < 0.85:
            self._forge()
        else:
            self._graft(states)

    def _forge(self) -> None:
        """A free extent grows, shrinks or moves, in both trees of its group."""
        chance = self.draft.chance
        group = chance.randrange(len(self.groups))
        by_place, by_size = self.trees[group]
        records = [record for leaf in by_place[-1] for record in self._records(leaf)]
        if not records:
            return
        index = chance.randrange(len(records))
        start, length = records[index]
        by = chance.choice([1, 1, 2, 8, 64])
        before = sum(records[index - 1]) if index else 0
        if chance.random() < 0.5:
            by = min(by, max(start - before - 1, 1))
            records[index] = (start - by, length + chance.choice([0, by]))
        else:
            after = records[index + 1][0] if index + 1 < len(records) else start + length + by + 2
            by = min(by, max(after - start - length - 1, 1))
            records[index] = (start, length + by)
        self.draft.done.append(
            f"free extent {start}+{length} of group {group} became {records[index]}"
        )
        self._rewrite(by_place, records)
        ordered = sorted(records, key=lambda record: (record[1], record[0]))
        self._rewrite(by_size, ordered)

    def _rewrite(self, tree: list[list[int]], records: Records) -> None:
        """Other records, and the keys above them."""
        for level in reversed(tree):
            firsts: Records = []
            for block in level:
                count = self._get(block + 6, 2)
                for i, (start, length) in enumerate(records[:count]):
                    self._put(block + self.header + 8 * i, 4, start)
                    self._put(block + self.header + 8 * i + 4, 4, length)
                firsts += records[:1]
                records = records[count:]
            records = firsts

    def _graft(self, states: States) -> None:
        draft = self.draft
        whose = draft.chance.choice(OTHERS)
        source = states(whose)
        other = Xfs(source, self.at)
        pieces = [Region("superblock", self.at, self.sector)]
        number = draft.chance.randrange(len(self.groups))
        chosen = self.groups if draft.often(0.6) else [self.groups[number]]
        if draft.often(0.8):
            for group in chosen:
                name = f"headers and trees of group {self.groups.index(group)}"
                pieces.append(Region(name, group + self.sector, 3 * self.sector))
                trees = other.trees[self.groups.index(group)]
                blocks = [block for tree in trees for level in tree for block in level]
                pieces += [Region(name, block, self.block) for block in blocks]
            if draft.often(0.2):
                pieces = pieces[1:]
        for piece in pieces:
            draft.graft(piece, source, whose)
        draft.done = list(dict.fromkeys(draft.done))
        if len(pieces) > 1:
            self.trees, self.free = other.trees, other.free

    def fix(self, level: int) -> None:
        """Make counts and checksums agree with what is there."""
        if level == FIX_ALL:
            free = 0
            for number, group in enumerate(self.groups):
                total, longest = self._totals(number)
                self._put(group + self.sector + 52, 4, total)
                self._put(group + self.sector + 56, 4, longest)
                free += total
            self._put(self.at + 144, 8, self._get(self.at + 144, 8) + free - self.free)
        if level >= FIX_CHECKSUMS:
            self._put(self.log + 32, 4, 0)  # none
            if self.v5:
                self._fix_checksums()
        if level != FIX_NOTHING:
            self.draft.done.append("counts, checksums" if level == FIX_ALL else "checksums")

    def _fix_checksums(self) -> None:
        places = [(self.at, self.sector, 224)]
        for number, group in enumerate(self.groups):
            for index, place in ((1, 216), (2, 312), (3, 32)):
                places.append((group + index * self.sector, self.sector, place))
            for tree in self.trees[number]:
                places += [(block, self.block, 52) for level in tree for block in level]
        for start, length, place in places:
            raw = bytearray(self.draft.raw[start : start + length])
            raw[place : place + 4] = bytes(4)
            self.draft.put(start + place, 4, ~crc32c(bytes(raw)))
