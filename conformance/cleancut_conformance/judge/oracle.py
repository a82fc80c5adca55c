"""What each drive must hold: a plain array of bytes, replayed from the guest's writes.

Writes, marks and cuts stand in one log, in the order in which they were sent. Since commands run in
that order, what a drive holds at a mark or a cut is what the writes before it have left.
"""

from dataclasses import dataclass, field
from typing import Any, Final

MAX_DRIVE_BYTES: Final = 256 << 20  # the rules about data keep silent about larger drives
SECTOR_BYTES: Final = 512

Extents = list[list[int]]


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


@dataclass(slots=True)
class Oracle:
    """The drives' first content and the log."""

    first: dict[str, bytes] = field(default_factory=dict)
    log: list[Write] = field(default_factory=list)

    def add_drive(self, name: str, size_bytes: int, extents: Extents) -> None:
        """A drive, as the header tells; its size is rounded up to a sector."""
        whole = -(-size_bytes // SECTOR_BYTES) * SECTOR_BYTES
        if whole <= MAX_DRIVE_BYTES:
            self.first[name] = expand(whole, extents)

    @property
    def now(self) -> int:
        """The position at the end of the log."""
        return len(self.log)

    def unknown(self, drive: str) -> bool:
        """Whether a write of this drive has not ended yet."""
        return any(write.result is None for write in self.log if write.drive == drive)

    def content(self, drive: str, position: int) -> bytearray:
        """What the drive holds after the writes before this position that went well."""
        return self._replay(drive, self.log[:position])

    def in_any_order(self, drive: str, position: int, seen: bytes) -> bytearray:
        """The same; where writes overlapped in flight, what was seen if one of them left it.

        Nothing orders requests that are in flight at once: either may be the last.
        """
        content = self.content(drive, position)
        if content == seen:
            return content
        for at in range(0, min(len(content), len(seen)), SECTOR_BYTES):
            place = slice(at, at + SECTOR_BYTES)
            held = seen[place]
            one_byte = held != content[place] and held == held[:1] * len(held)
            if one_byte and self._may_be_last(drive, position, at, held[0]):
                content[place] = held
        return content

    def _may_be_last(self, drive: str, position: int, at: int, byte: int) -> bool:
        """Whether a write of this byte was still in flight when all later ones there were sent."""
        writes = [
            write
            for write in self.log[:position]
            if write.drive == drive and write.result == "ok" and _covers(write, at)
        ]
        return any(
            write.byte == byte
            and not write.waits
            and all(write.ended is None or write.ended > later.index for later in writes[place:])
            for place, write in enumerate(writes, start=1)
        )

    def _replay(self, drive: str, writes: list[Write]) -> bytearray:
        content = bytearray(self.first[drive])
        for write in writes:
            if write.drive == drive and write.result in ("ok", None):
                end = write.offset_bytes + write.length_bytes
                if end <= len(content):
                    content[write.offset_bytes : end] = bytes([write.byte]) * write.length_bytes
        return content

    def open_at(self, drive: str, position: int, index: int) -> list[Write]:
        """The writes before a position that were still in flight when record `index` was sent.

        A cut that such a write meets may lie before or after it.
        """
        return [
            write
            for write in self.log[:position]
            if write.drive == drive
            and not write.waits
            and (write.ended is None or write.ended > index)
        ]

    def settled(self, drive: str, position: int, index: int, seen: bytes) -> bytearray:
        """What the drive holds at a cut; where that is open, what was seen if it is possible."""
        open_writes = self.open_at(drive, position, index)
        content = self.content(drive, position)
        if not open_writes:
            return content
        kept = [w for w in self.log[:position] if w not in open_writes]
        without = self._replay(drive, kept)
        for write in open_writes:
            end = min(write.offset_bytes + write.length_bytes, len(content), len(seen))
            for at in range(write.offset_bytes, end, SECTOR_BYTES):
                place = slice(at, min(at + SECTOR_BYTES, end))
                covering = {w.byte for w in open_writes if _covers(w, at)}
                new = [bytes([byte]) * (place.stop - at) for byte in covering]
                if seen[place] in (without[place], *new):
                    content[place] = seen[place]
        return content

    def blame(self, drive: str, offset_bytes: int, byte: int) -> list[int]:
        """The positions of the writes that put this byte there."""
        return [
            position
            for position, write in enumerate(self.log)
            if write.drive == drive and _covers(write, offset_bytes) and write.byte == byte
        ]


def _covers(write: Write, offset_bytes: int) -> bool:
    return write.offset_bytes <= offset_bytes < write.offset_bytes + write.length_bytes


def expand(size_bytes: int, extents: Any) -> bytes:
    """The bytes that extents describe; zero where there is none."""
    content = bytearray(size_bytes)
    for offset_bytes, length_bytes, byte in extents:
        end = min(offset_bytes + length_bytes, size_bytes)
        content[offset_bytes:end] = bytes([byte]) * (end - offset_bytes)
    return bytes(content)


def first_difference(a: bytes | bytearray, b: bytes | bytearray) -> int | None:
    """The least offset at which two images differ; None if they are equal."""
    if a == b:
        return None
    shorter = min(len(a), len(b))
    low, high = 0, shorter
    if a[:shorter] == b[:shorter]:
        return shorter
    while high - low > 1:  # a[:low] equals b[:low], and a difference lies before high
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low
