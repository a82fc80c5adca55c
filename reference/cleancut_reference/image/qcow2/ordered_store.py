"""A store whose order of writes can be relied on."""

from __future__ import annotations

from cleancut_reference.image.store import Data, Store


class OrderedStore:
    """Passes reads and writes on, and knows whether anything is not flushed yet."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._unflushed = False

    @property
    def size_bytes(self) -> int:
        """How many bytes there are."""
        return self.store.size_bytes

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """The bytes of a range; zeros past the end."""
        return self.store.read(offset_bytes, length_bytes)

    def write(self, offset_bytes: int, data: Data) -> None:
        """Replace the bytes of a range."""
        self._unflushed = True
        self.store.write(offset_bytes, data)

    def extend(self, size_bytes: int) -> None:
        """Let the store have at least so many bytes."""
        if size_bytes > self.store.size_bytes:
            self._unflushed = True
            self.store.truncate(size_bytes)

    def barrier(self) -> None:
        """What was written before is safe before anything that is written after."""
        if self._unflushed:
            self.store.flush()
            self._unflushed = False
