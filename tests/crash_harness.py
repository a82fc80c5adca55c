"""A crash at any moment: which stores may be left, and which content each sector may have."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from cleancut_reference.image.store import Data, MemoryStore

SECTOR_BYTES = 512


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that a store was asked to do; a flush has neither data nor size."""

    offset: int = 0
    data: bytes = b""
    size: int | None = None

    @property
    def is_flush(self) -> bool:
        return not self.data and self.size is None


class LoggedStore(MemoryStore):
    """A store in memory that remembers what it was asked to do, in order."""

    def __init__(self, content: bytes = b"") -> None:
        self.log: list[Entry] = []
        super().__init__(content)
        self.base = content
        self.log.clear()

    def write(self, offset_bytes: int, data: Data) -> None:
        self.log.append(Entry(offset_bytes, bytes(data)))
        super().write(offset_bytes, data)

    def truncate(self, size_bytes: int) -> None:
        self.log.append(Entry(size=size_bytes))
        super().truncate(size_bytes)

    def flush(self) -> None:
        self.log.append(Entry())

    def crashes(self, seed: int, variants: int) -> Iterator[tuple[int, bytes]]:
        """For each moment, the stores that a crash may leave: the moment, and the content.

        The first of each moment has all that was written before (the process was killed); the
        others have some of what was not flushed, and of a long write some of its sectors (the power
        failed). The header, the one write at offset zero, is written whole or not at all.
        """
        rng = random.Random(seed)
        safe = bytearray(self.base)
        pending: list[Entry] = []
        for moment in range(len(self.log) + 1):
            whole = bytearray(safe)
            for entry in pending:
                _apply(whole, entry)
            yield moment, bytes(whole)
            for _ in range(variants if pending else 0):
                part = bytearray(safe)
                for entry in pending:
                    for piece in _torn(entry, rng):
                        _apply(part, piece)
                yield moment, bytes(part)
            if moment == len(self.log):
                return
            if self.log[moment].is_flush:
                safe, pending = whole, []
            else:
                pending.append(self.log[moment])


def _apply(content: bytearray, entry: Entry) -> None:
    if entry.size is not None:
        del content[entry.size :]
        content.extend(bytes(entry.size - len(content)))
        return
    end = entry.offset + len(entry.data)
    content.extend(bytes(max(entry.offset - len(content), 0)))
    content[entry.offset : end] = entry.data


def _torn(entry: Entry, rng: random.Random) -> Iterator[Entry]:
    """What of a write may have reached the disk."""
    fate = rng.random()
    if fate < 0.4:
        return
    if fate < 0.8 or entry.size is not None or entry.offset == 0:
        yield entry
        return
    for at in range(0, len(entry.data), SECTOR_BYTES):
        if rng.random() < 0.5:
            yield Entry(entry.offset + at, entry.data[at : at + SECTOR_BYTES])


@dataclass
class History:
    """What each sector of a disk may hold after a crash: what was flushed, or anything later."""

    sectors: int
    log: list[Entry]
    now: list[bytes] = field(default_factory=list)
    written: list[tuple[int, int, bytes]] = field(default_factory=list)  # moment, sector, content
    flushed: list[tuple[int, list[bytes]]] = field(default_factory=list)  # moment, all contents

    def __post_init__(self) -> None:
        self.now = [bytes(SECTOR_BYTES)] * self.sectors
        self.flushed.append((0, list(self.now)))

    def write(self, first: int, contents: list[bytes]) -> None:
        """Note a change before it is made."""
        for sector, content in enumerate(contents, first):
            self.now[sector] = content
            self.written.append((len(self.log), sector, content))

    def flush(self) -> None:
        """Note that a flush has returned."""
        self.flushed.append((len(self.log), list(self.now)))

    def allowed(self, moment: int) -> list[set[bytes]]:
        """For each sector, what it may hold after a crash at a moment."""
        since, contents = max(
            (each for each in self.flushed if each[0] <= moment), key=lambda each: each[0]
        )
        allowed = [{content} for content in contents]
        for at, sector, content in self.written:
            if since <= at <= moment:
                allowed[sector].add(content)
        return allowed
