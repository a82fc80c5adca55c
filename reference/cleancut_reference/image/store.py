"""Where the bytes of an image lie: a file at the edge, memory in tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

#: What can be written.
Data = bytes | bytearray | memoryview

#: So many zeros are at hand.
ZEROS: Final = bytes(1 << 20)

_BLOCK_BYTES: Final = 65536
_ZERO_BLOCK: Final = bytes(_BLOCK_BYTES)


def is_zero(data: Data) -> bool:
    """Whether there is nothing but zeros; data that is something else mostly says so at once."""
    if not data or data[0] or data[-1]:
        return not data
    whole = bytes(data)  # bytes are compared by the word, views are not
    return all(
        whole[at : at + len(ZEROS)] == ZEROS[: len(whole) - at]
        for at in range(0, len(whole), len(ZEROS))
    )


class Store(Protocol):
    """An array of bytes that grows when it is written past its end.

    What was written before a `flush` outlives a crash; of what was written after the last one, any
    part may be lost. A store that fails raises OSError, whose errno the guest or the job gets.
    """

    @property
    def size_bytes(self) -> int:
        """How many bytes there are."""

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """The bytes of a range; zeros past the end."""

    def write(self, offset_bytes: int, data: Data) -> None:
        """Replace the bytes of a range; what lies between the old end and it reads as zeros."""

    def flush(self) -> None:
        """Return when everything written so far is safe from a crash."""

    def truncate(self, size_bytes: int) -> None:
        """Cut off the end, or add zeros to it."""

    def data_ranges(self, offset_bytes: int, length_bytes: int) -> Iterator[tuple[int, int]]:
        """The start and end of each part of a range that is not known to be zero, in order."""

    def close(self) -> None:
        """Give back what the store holds; it is used no more."""


class MemoryStore:
    """A store in memory that keeps only the blocks that were written."""

    def __init__(self, content: bytes = b"") -> None:
        self._blocks: dict[int, bytearray] = {}
        self._size_bytes = 0
        if content:
            self.write(0, content)

    @property
    def size_bytes(self) -> int:
        """How many bytes there are."""
        return self._size_bytes

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """The bytes of a range; zeros past the end."""
        block, skip = divmod(offset_bytes, _BLOCK_BYTES)
        if skip + length_bytes <= _BLOCK_BYTES:
            return bytes(self._blocks.get(block, _ZERO_BLOCK)[skip : skip + length_bytes])
        end = -(-(offset_bytes + length_bytes) // _BLOCK_BYTES)
        whole = b"".join(self._blocks.get(at, _ZERO_BLOCK) for at in range(block, end))
        return whole[skip : skip + length_bytes]

    def write(self, offset_bytes: int, data: Data) -> None:
        """Replace the bytes of a range."""
        view = memoryview(data).cast("B")
        self._size_bytes = max(self._size_bytes, offset_bytes + len(view))
        while view:
            block, skip = divmod(offset_bytes, _BLOCK_BYTES)
            piece = view[: _BLOCK_BYTES - skip]
            stored = self._blocks.get(block)
            if stored is None:
                stored = self._blocks[block] = bytearray(_BLOCK_BYTES)
            stored[skip : skip + len(piece)] = piece
            offset_bytes, view = offset_bytes + len(piece), view[len(piece) :]

    def flush(self) -> None:
        """Nothing to do: memory does not outlive a crash."""

    def truncate(self, size_bytes: int) -> None:
        """Cut off the end, or add zeros to it."""
        if size_bytes < self._size_bytes:
            last, keep = divmod(size_bytes, _BLOCK_BYTES)
            for block in [at for at in self._blocks if at > last or (at == last and not keep)]:
                del self._blocks[block]
            if last in self._blocks:
                self._blocks[last][keep:] = bytes(_BLOCK_BYTES - keep)
        self._size_bytes = size_bytes

    def data_ranges(self, offset_bytes: int, length_bytes: int) -> Iterator[tuple[int, int]]:
        """The blocks of a range that were written, neighbours as one."""
        end_bytes = min(offset_bytes + length_bytes, self._size_bytes)
        if offset_bytes >= end_bytes:
            return
        first, limit = offset_bytes // _BLOCK_BYTES, -(-end_bytes // _BLOCK_BYTES)
        many = limit - first > len(self._blocks)
        blocks = sorted(self._blocks) if many else range(first, limit)
        found: list[int] = []
        for block in (at for at in blocks if first <= at < limit and at in self._blocks):
            if found and found[1] == block * _BLOCK_BYTES:
                found[1] += _BLOCK_BYTES
                continue
            if found:
                yield max(found[0], offset_bytes), found[1]
            found = [block * _BLOCK_BYTES, (block + 1) * _BLOCK_BYTES]
        if found:
            yield max(found[0], offset_bytes), min(found[1], end_bytes)

    def close(self) -> None:
        """Nothing to do."""
