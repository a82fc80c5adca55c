"""What each drive must hold, replayed from the guest's writes.

Writes, marks and cuts stand in one log, in the order in which they were sent. Since commands run in
that order, what a drive holds at a mark or a cut is what the writes before it have left.
"""

import itertools
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from cleancut_conformance.judge.image import Extents, Image, differences, same

SECTOR_BYTES: Final = 512
KEPT: Final = 6  # contents of a drive that are kept, so that not all writes are replayed each time


@dataclass(slots=True)
class Write:
    """A guest write; `result` is None until it is known, then `ok` or an errno's name."""

    index: int
    drive: str
    offset_bytes: int
    length_bytes: int
    byte: int
    waits: bool = True  # the monitor's next command came only after it had ended
    result: str | None = None
    ended: int | None = None  # the record that tells the result
    elsewhere: bool = False  # it came another way than commands: these order nothing

    @property
    def end_bytes(self) -> int:
        """Where it ends."""
        return self.offset_bytes + self.length_bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a backup's cut lies: between the writes before `position` and those from `until` on.

    The command stands in record `sent`; `begun` is the record that tells of its first job's start,
    where the records stand in the order in which things happened. A write that ends after that has
    then begun after the cut, since no write is in flight at a cut.
    """

    position: int
    until: int
    sent: int
    begun: int | None = None

    def before(self, write: Write) -> bool:
        """Whether the cut is known to lie before a write that was under way."""
        return self.begun is not None and (write.ended is None or write.ended > self.begun)


@dataclass(slots=True)
class Oracle:
    """The drives' first content and the log."""

    first: dict[str, Image] = field(default_factory=dict)
    log: list[Write] = field(default_factory=list)
    _kept: dict[str, list[tuple[int, Image]]] = field(default_factory=dict)  # position, content
    _oldest_open: int = 0  # before it every write has ended
    _open_at: dict[tuple[str, Cut], list[Write]] = field(default_factory=dict)

    def add_drive(self, name: str, size_bytes: int, extents: Extents) -> None:
        """A drive, as the header tells; its size is rounded up to a sector."""
        self.first[name] = Image(-(-size_bytes // SECTOR_BYTES) * SECTOR_BYTES, extents)

    @property
    def now(self) -> int:
        """The position at the end of the log."""
        return len(self.log)

    def position(self, index: int) -> int:
        """The position in the log of what was sent in record `index`."""
        return bisect_left(self.log, index, key=lambda write: write.index)

    def open_writes(self) -> Iterator[Write]:
        """The writes that have not ended yet, oldest first."""
        log = self.log
        while self._oldest_open < len(log) and log[self._oldest_open].result is not None:
            self._oldest_open += 1
        return (write for write in log[self._oldest_open :] if write.result is None)

    def unknown(self, drive: str) -> bool:
        """Whether a write of this drive has not ended yet."""
        return any(write.drive == drive for write in self.open_writes())

    def content(self, drive: str, position: int) -> Image:
        """What the drive holds after the writes before this position that went well."""
        kept = self._kept.setdefault(drive, [])
        base = max((each for each in kept if each[0] <= position), key=_position, default=None)
        start, image = base or (0, self.first[drive])
        image = image.copy()
        if self._replay(image, drive, self.log[start:position]) and start < position:
            kept.append((position, image.copy()))
            del kept[:-KEPT]
        return image

    @staticmethod
    def _replay(image: Image, drive: str, writes: list[Write]) -> bool:
        """Do the writes; whether each has ended, so that nothing about them can change."""
        settled = True
        for write in writes:
            if write.drive == drive:
                settled = settled and write.result is not None
                if write.result in ("ok", None) and write.end_bytes <= image.size_bytes:
                    image.write(write.offset_bytes, write.length_bytes, write.byte)
        return settled

    def in_any_order(self, drive: str, position: int, seen: Image) -> Image:
        """The same; where writes overlapped in flight, what was seen if one of them left it.

        Nothing orders requests that are in flight at once: either may be the last.
        """
        content = self.content(drive, position)
        writes: list[Write] | None = None
        for start, end, _, byte in list(differences(content, seen)):
            if writes is None:
                writes = [w for w in self.log[:position] if w.drive == drive and w.result == "ok"]
            edges = {edge for w in writes for edge in (w.offset_bytes, w.end_bytes)}
            cuts = sorted({start, end} | {edge for edge in edges if start < edge < end})
            for at, stop in itertools.pairwise(cuts):
                if _may_be_last(writes, at, byte):
                    content.write(at, stop - at, byte)
        return content

    def open_at(self, cut: Cut, drive: str) -> list[Write]:
        """The writes that a cut may lie before or after.

        They were still in flight when the command was sent, or came another way before it was
        answered.
        """
        if (found := self._open_at.get((drive, cut))) is not None:
            return found
        flying = [w for w in self.log[: cut.position] if w.ended is None or w.ended > cut.sent]
        window = [w for w in self.log[cut.position : cut.until] if w.elsewhere]
        found = [w for w in (*flying, *window) if w.drive == drive and not w.waits]
        if all(write.ended is not None for write in found):
            self._open_at[drive, cut] = found
        return found

    def settled(self, cut: Cut, drive: str, seen: Image) -> Image:
        """What the drive holds at a cut; where that is open, what was seen if it is possible."""
        open_writes = self.open_at(cut, drive)
        if not open_writes:
            return self.content(drive, cut.position)
        after = [write for write in open_writes if cut.before(write)]
        may_be = [write for write in open_writes if write not in after]
        without = self._left_by(drive, cut.position, open_writes)
        content = self._left_by(drive, cut.position, after)
        for write in may_be:
            end = min(write.end_bytes, content.size_bytes, seen.size_bytes)
            for at in range(write.offset_bytes, end, SECTOR_BYTES):
                stop = min(at + SECTOR_BYTES, end)
                if same(content, seen, at, stop):
                    continue
                new = {other.byte for other in may_be if _covers(other, at)}
                possible = same(without, seen, at, stop)
                if possible or any(seen.is_all(at, stop, byte) for byte in new):
                    for start, until, byte in list(seen.runs(at, stop)):
                        content.write(start, until - start, byte)
        return content

    def _left_by(self, drive: str, position: int, but: list[Write]) -> Image:
        """What the writes before a position have left, but for these."""
        image = self.first[drive].copy()
        self._replay(image, drive, [w for w in self.log[:position] if w not in but])
        return image

    def blame(self, drive: str, offset_bytes: int, byte: int) -> list[int]:
        """The positions of the writes that put this byte there."""
        return [
            position
            for position, write in enumerate(self.log)
            if write.drive == drive and _covers(write, offset_bytes) and write.byte == byte
        ]


def _position(kept: tuple[int, Image]) -> int:
    return kept[0]


def _may_be_last(writes: list[Write], at: int, byte: int) -> bool:
    """Whether a write of this byte was still in flight when all later ones there were sent."""
    there = [write for write in writes if _covers(write, at)]
    return any(
        write.byte == byte
        and not write.waits
        and all(write.ended is None or write.ended > later.index for later in there[place:])
        for place, write in enumerate(there, start=1)
    )


def _covers(write: Write, offset_bytes: int) -> bool:
    return write.offset_bytes <= offset_bytes < write.end_bytes
