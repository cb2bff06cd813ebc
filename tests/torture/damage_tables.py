"""Damage to partition tables and swap headers, and the checksums of GPT that hide it."""

from __future__ import annotations

from .mutations import FIX_NOTHING, Draft, Region, States, crc32, each

SECTOR = 512
ENTRY = each(1, 0, 4) + each(4, 8, 12)  # of an MBR: status, type, start, size
GPT = each(4, 8, 12, 16, 80, 84, 88) + each(8, 0, 24, 32, 40, 48, 72)
GPT_ENTRY = each(8, 0, 8, 16, 32, 40, 48)
EXTENDED = (0x5, 0xF, 0x85)
SWAP = each(4, 1024, 1028, 1032)


class Table:
    """A sound table of the draft."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.gpt = draft.raw[SECTOR : SECTOR + 8] == b"EFI PART"
        self.boot_records = [] if self.gpt else self._chain()
        self.headers = [SECTOR, len(draft.raw) - SECTOR] if self.gpt else []
        self.entries = [draft.get(h + 72, 8) * SECTOR for h in self.headers]

    def _chain(self) -> list[int]:
        """The bytes where the boot records of logical partitions are."""
        found, first = [], 0
        for i in range(4):
            entry = 446 + 16 * i
            if self.draft.raw[entry + 4] in EXTENDED:
                first = self.draft.get(entry + 8, 4)
        sector = first
        while sector:
            found.append(sector * SECTOR)
            link = sector * SECTOR + 462
            following = self.draft.get(link + 8, 4) if self.draft.raw[link + 4] else 0
            sector = first + following if following else 0
        return found

    def regions(self) -> list[Region]:
        if self.gpt:
            found = [Region(f"GPT at {h}", h, 92, GPT) for h in self.headers]
            for entries in self.entries:
                found += [
                    Region(f"GPT entry {i}", entries + 128 * i, 128, GPT_ENTRY) for i in range(5)
                ]
            return [*found, Region("protective MBR", 446, 66, ENTRY)]
        found = [Region("MBR", 440, 72)]
        found += [Region(f"MBR entry {i}", 446 + 16 * i, 16, ENTRY) for i in range(4)] * 2
        for number, record in enumerate(self.boot_records):
            found.append(Region(f"EBR {number}", record + 446, 66))
            for i in range(2):
                found.append(Region(f"EBR {number}, {i}", record + 446 + 16 * i, 16, ENTRY))
        return found

    def damage(self) -> None:
        if self.draft.often(0.7):
            self.draft.any_simple(self.regions())
        elif self.gpt:
            self._move_gpt()
        elif self.boot_records and self.draft.often(0.5):
            self._loop()
        else:
            self._move()

    def _loop(self) -> None:
        """Let the chain of logical partitions go somewhere else, back perhaps."""
        draft = self.draft
        record = draft.chance.choice(self.boot_records)
        first = self.boot_records[0] // SECTOR
        target = draft.chance.choice(self.boot_records) // SECTOR - first
        if draft.often(0.3):
            target = draft.chance.randrange(len(draft.raw) // SECTOR)
        entry = record + 446 + 16 * draft.chance.choice([0, 1, 1, 1, 2, 3])
        draft.put(entry + 4, 1, draft.chance.choice(EXTENDED))
        draft.put(entry + 8, 4, target)
        draft.put(entry + 12, 4, draft.chance.choice([1, 2048, 1 << 20]))
        draft.done.append(f"EBR at {record} goes on at {target}")

    def _move(self) -> None:
        """A partition begins or ends where another one does, or near."""
        draft = self.draft
        entries = [446 + 16 * i for i in range(4)] + [r + 446 for r in self.boot_records]
        one, other = draft.chance.sample(entries, 2)
        start = draft.get(other + 8, 4) + draft.chance.choice([-1, 0, 0, 1, 2048])
        if draft.often(0.5):
            draft.put(one + 8, 4, start)
        draft.put(one + 12, 4, draft.chance.choice([1, 2048, draft.get(other + 12, 4), 1 << 15]))
        draft.put(one + 4, 1, draft.raw[one + 4] or 0x83)
        draft.done.append(f"entry at {one} placed by that at {other}")

    def _move_gpt(self) -> None:
        draft = self.draft
        one, other = draft.chance.sample([self.entries[0] + 128 * i for i in range(4)], 2)
        by = draft.chance.choice([-2048, -1, 0, 0, 1, 2048])
        if draft.often(0.5):
            draft.put(one + 32, 8, draft.get(other + 32, 8) + by)
        draft.put(one + 40, 8, draft.get(other + draft.chance.choice([32, 40]), 8) + by)
        draft.done.append(f"entry at {one} placed by that at {other}")

    def fix(self, level: int) -> None:
        """The checksums of a GPT, and sometimes its second copy."""
        if level == FIX_NOTHING or not self.gpt:
            return
        draft = self.draft
        if draft.often(0.6):
            first, second = self.entries
            draft.write(second, bytes(draft.raw[first : first + 128 * 128]))
        for header, entries in zip(self.headers, self.entries):
            size = draft.get(header + 80, 4) * draft.get(header + 84, 4)
            draft.put(header + 88, 4, crc32(bytes(draft.raw[entries:][: min(size, 1 << 16)])))
            length = min(max(draft.get(header + 12, 4), 20), SECTOR)
            raw = bytearray(draft.raw[header : header + length])
            raw[16:20] = bytes(4)
            draft.put(header + 16, 4, crc32(bytes(raw)))
        draft.done.append("checksums")


class Swap:
    """A swap area at a byte of the draft."""

    def __init__(self, draft: Draft, at: int) -> None:
        self.draft, self.at = draft, at

    def damage(self, states: States) -> None:
        """Do one thing."""
        draft = self.draft
        how = draft.chance.random()
        if how < 0.6:
            draft.any_simple([Region("swap header", self.at, 4096, SWAP)])
        elif how < 0.8:
            page = draft.chance.choice([4096, 8192, 16384, 65536])
            magic = draft.chance.choice([b"SWAPSPACE2", b"SWAP-SPACE", b"S1SUSPEND\0"])
            draft.write(self.at + page - 10, magic)
            draft.done.append(f"{magic!r} at the end of {page} bytes of the swap area")
        else:
            pages = draft.chance.choice([0, 1, 254, 255, 256, 257, 1 << 31, (1 << 32) - 1])
            draft.put(self.at + 1028, 4, pages)
            draft.done.append(f"last page of the swap area {pages}")

    def fix(self, level: int) -> None:
        """It has no checksum."""
