"""What an image holds, as runs of equal bytes: small however large the image is."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Self

#: Offset, length and byte of what is not zero, as traces tell it.
Extents = list[list[int]]


class Image:
    """Bytes, as the offsets at which runs begin; neighbouring runs hold different bytes."""

    __slots__ = ("_bytes", "_starts", "size_bytes")

    def __init__(self, size_bytes: int, extents: Iterable[Sequence[int]] = ()) -> None:
        """Zeros, with these extents written one after the other; what lies beyond is left out."""
        self.size_bytes = size_bytes
        self._starts = [0] if size_bytes > 0 else []
        self._bytes = [0] if size_bytes > 0 else []
        for offset_bytes, length_bytes, byte in extents:
            self.write(offset_bytes, length_bytes, byte)

    def copy(self, size_bytes: int | None = None) -> Self:
        """The same; if a size is given, with zeros up to it, and never shorter than it was."""
        new = type(self)(0)
        new.size_bytes, new._starts, new._bytes = self.size_bytes, self._starts[:], self._bytes[:]
        if size_bytes is not None and size_bytes > self.size_bytes:
            new.size_bytes = size_bytes
            if not self._bytes or self._bytes[-1]:
                new._starts.append(self.size_bytes)
                new._bytes.append(0)
        return new

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Image)
            and self.size_bytes == other.size_bytes
            and self._starts == other._starts
            and self._bytes == other._bytes
        )

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, offset_bytes: int) -> int:
        """The byte there; raises IndexError beyond the end."""
        if not 0 <= offset_bytes < self.size_bytes:
            raise IndexError(offset_bytes)
        return self._bytes[bisect_right(self._starts, offset_bytes) - 1]

    def write(self, offset_bytes: int, length_bytes: int, byte: int) -> None:
        """Put one byte everywhere in a range, as far as the image reaches."""
        start, end = max(0, offset_bytes), min(offset_bytes + length_bytes, self.size_bytes)
        if start >= end:
            return
        starts, held = self._starts, self._bytes
        low, high = bisect_left(starts, start), bisect_left(starts, end)
        new_starts, new_bytes = [], []
        if low == 0 or held[low - 1] != byte:
            new_starts.append(start)
            new_bytes.append(byte)
        if high < len(starts) and starts[high] == end:
            high += held[high] == byte
        elif end < self.size_bytes and held[high - 1] != byte:
            new_starts.append(end)
            new_bytes.append(held[high - 1])
        starts[low:high] = new_starts
        held[low:high] = new_bytes

    def runs(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Start, end and byte of each run in a range of the image."""
        end = min(end, self.size_bytes)
        at = bisect_right(self._starts, start) - 1
        while start < end:
            at += 1
            stop = min(end, self._starts[at]) if at < len(self._starts) else end
            yield start, stop, self._bytes[at - 1]
            start = stop

    def is_all(self, start: int, end: int, byte: int) -> bool:
        """Whether a range holds nothing but this byte."""
        return all(held == byte for _, _, held in self.runs(start, end))

    def holds(self, start: int, end: int, byte: int) -> bool:
        """Whether a range holds this byte anywhere."""
        return any(held == byte for _, _, held in self.runs(start, end))


def differences(a: Image, b: Image, start: int = 0, end: int | None = None) -> Iterator[
    tuple[int, int, int, int]
]:  # fmt: skip
    """Start, end and the two bytes of each piece in which both are uniform and differ."""
    common = min(a.size_bytes, b.size_bytes)
    end = common if end is None else min(end, common)
    ours, theirs = a.runs(start, end), b.runs(start, end)
    one, two = next(ours, None), next(theirs, None)
    while one is not None and two is not None:
        stop = min(one[1], two[1])
        if one[2] != two[2]:
            yield max(one[0], two[0]), stop, one[2], two[2]
        if one[1] == stop:
            one = next(ours, None)
        if two[1] == stop:
            two = next(theirs, None)


def same(a: Image, b: Image, start: int, end: int) -> bool:
    """Whether two images hold the same in a range that both have."""
    return next(differences(a, b, start, end), None) is None


def first_difference(a: Image, b: Image) -> int | None:
    """The least offset at which two images differ; None if they are equal."""
    if a == b:
        return None
    first = next(differences(a, b), None)
    return first[0] if first is not None else min(a.size_bytes, b.size_bytes)
