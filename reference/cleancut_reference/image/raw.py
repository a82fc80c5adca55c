"""Raw images: the guest's bytes as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cleancut_reference.image.image import Extent, Image, ImageError, Status, check_range
from cleancut_reference.image.store import ZEROS, Data, Store


class RawImage:
    """A store as an image."""

    format: Final = "raw"
    cluster_bytes: Final = 1
    backing: Image | None = None

    def __init__(self, store: Store, name: str) -> None:
        self.name = name
        self._store = store

    @property
    def size_bytes(self) -> int:
        """The size of the store."""
        return self._store.size_bytes

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """The bytes of a range."""
        check_range(self, offset_bytes, length_bytes)
        return self._store.read(offset_bytes, length_bytes)

    def write(self, offset_bytes: int, data: Data) -> None:
        """Replace the bytes of a range."""
        check_range(self, offset_bytes, memoryview(data).nbytes)
        self._store.write(offset_bytes, data)

    def write_compressed(self, offset_bytes: int, data: Data) -> None:
        """Refused: raw images have no compressed clusters."""
        raise ImageError(self.name, "format", "raw images cannot be written compressed")

    def write_zeroes(self, offset_bytes: int, length_bytes: int, unmap: bool = False) -> None:
        """Write zeros, but not where the store has none of its bytes in use."""
        check_range(self, offset_bytes, length_bytes)
        for start, end in list(self._store.data_ranges(offset_bytes, length_bytes)):
            for at in range(start, end, len(ZEROS)):
                self._store.write(at, memoryview(ZEROS)[: end - at])

    def discard(self, offset_bytes: int, length_bytes: int) -> None:
        """Nothing: a guest may not count on what it reads after a discard."""
        check_range(self, offset_bytes, length_bytes)

    def flush(self) -> None:
        """Return when everything written so far is safe from a crash."""
        self._store.flush()

    def block_status(self, offset_bytes: int, length_bytes: int) -> Iterator[Extent]:
        """What the store has is data; the rest is zero."""
        check_range(self, offset_bytes, length_bytes)
        at, limit = offset_bytes, offset_bytes + length_bytes
        for start, end in self._store.data_ranges(offset_bytes, length_bytes):
            if at < start:
                yield Extent(at, start - at, Status.ZERO, at)
            yield Extent(start, end - start, Status.DATA, start)
            at = end
        if at < limit:
            yield Extent(at, limit - at, Status.ZERO, at)

    def resize(self, size_bytes: int) -> None:
        """Cut off the end, or add zeros to it."""
        if size_bytes < 0:
            raise ImageError(self.name, "size", f"{size_bytes} bytes is no size")
        self._store.truncate(size_bytes)

    def close(self) -> None:
        """Make it safe and let the store go."""
        self._store.flush()
        self._store.close()


def create_raw(store: Store, name: str, size_bytes: int) -> RawImage:
    """An empty raw image of a size."""
    store.truncate(0)
    image = RawImage(store, name)
    image.resize(size_bytes)
    return image
