"""The edge: stores that stand on other stores, as nodes stand on other nodes."""

from collections.abc import Iterator
from typing import Final

from cleancut_reference.block.blkdebug import AT_NODE, FROM_FORMAT, Blkdebug
from cleancut_reference.image.image import Image, Status
from cleancut_reference.image.store import ZEROS, Data, Store


class Layer:
    """A store over another one, which it neither changes nor closes."""

    def __init__(self, below: Store) -> None:
        self.below: Final = below

    @property
    def size_bytes(self) -> int:
        """How many bytes there are."""
        return self.below.size_bytes

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """The bytes of a range; zeros past the end."""
        return self.below.read(offset_bytes, length_bytes)

    def write(self, offset_bytes: int, data: Data) -> None:
        """Replace the bytes of a range."""
        self.below.write(offset_bytes, data)

    def flush(self) -> None:
        """Return when everything written so far is safe from a crash."""
        self.below.flush()

    def truncate(self, size_bytes: int) -> None:
        """Cut off the end, or add zeros to it."""
        self.below.truncate(size_bytes)

    def data_ranges(self, offset_bytes: int, length_bytes: int) -> Iterator[tuple[int, int]]:
        """The parts of a range that are not known to be zero."""
        return self.below.data_ranges(offset_bytes, length_bytes)

    def close(self) -> None:
        """Nothing: the node below closes its own."""


class BlkdebugStore(Layer):
    """Lets the requests fail that the rules of a blkdebug node name."""

    def __init__(self, below: Store, rules: Blkdebug, from_format: bool) -> None:
        super().__init__(below)
        self.rules: Final = rules
        self._from_format = from_format

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """The bytes of a range, unless a rule strikes."""
        self._strike("read", offset_bytes, length_bytes)
        return super().read(offset_bytes, length_bytes)

    def write(self, offset_bytes: int, data: Data) -> None:
        """Replace the bytes of a range, unless a rule strikes."""
        self._strike("write", offset_bytes, memoryview(data).nbytes)
        super().write(offset_bytes, data)

    def flush(self) -> None:
        """Make it safe, unless a rule strikes."""
        self._strike("flush", 0, 0)
        super().flush()

    def _strike(self, iotype: str, offset_bytes: int, length_bytes: int) -> None:
        if self._from_format and iotype in FROM_FORMAT:
            self.rules.event(FROM_FORMAT[iotype])
        for event in AT_NODE.get(iotype, ()):
            self.rules.event(event)
        errno = self.rules.strike(iotype, offset_bytes, length_bytes)
        if errno:
            raise OSError(errno, "injected")


class WithinExport(Layer):
    """Bytes that cannot grow, which for an image in them end where it has written or reached to."""

    def __init__(self, below: Store) -> None:
        super().__init__(below)
        self._size_bytes = below.size_bytes

    @property
    def size_bytes(self) -> int:
        """How far it goes by now; all of it where nobody has cut it off."""
        return self._size_bytes

    def write(self, offset_bytes: int, data: Data) -> None:
        """Replace the bytes of a range; what lies between the old end and it becomes zero."""
        self._reach(offset_bytes)
        super().write(offset_bytes, data)
        self._size_bytes = max(self._size_bytes, offset_bytes + memoryview(data).nbytes)

    def truncate(self, size_bytes: int) -> None:
        """End earlier, or later as far as there is room."""
        super().truncate(size_bytes)
        self._reach(size_bytes)
        self._size_bytes = size_bytes

    def _reach(self, end_bytes: int) -> None:
        """Let what was there before read as zeros."""
        for start, end in list(
            self.below.data_ranges(self._size_bytes, end_bytes - self._size_bytes)
        ):
            for at in range(start, end, len(ZEROS)):
                super().write(at, memoryview(ZEROS)[: end - at])


class ImageStore:
    """An image as a store, for a format that stands on another format."""

    def __init__(self, image: Image) -> None:
        self._image = image

    @property
    def size_bytes(self) -> int:
        """The size of the image."""
        return self._image.size_bytes

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """The bytes of a range; zeros past the end."""
        inside = max(0, min(length_bytes, self._image.size_bytes - offset_bytes))
        found = self._image.read(offset_bytes, inside) if inside else b""
        return found + bytes(length_bytes - inside)

    def write(self, offset_bytes: int, data: Data) -> None:
        """Replace the bytes of a range; the image grows where it must."""
        end_bytes = offset_bytes + memoryview(data).nbytes
        if end_bytes > self._image.size_bytes:
            self._image.resize(end_bytes)
        self._image.write(offset_bytes, data)

    def flush(self) -> None:
        """Return when everything written so far is safe from a crash."""
        self._image.flush()

    def truncate(self, size_bytes: int) -> None:
        """Cut off the end, or add zeros to it."""
        self._image.resize(size_bytes)

    def data_ranges(self, offset_bytes: int, length_bytes: int) -> Iterator[tuple[int, int]]:
        """The parts of a range that the image does not say are zero."""
        length_bytes = min(length_bytes, self._image.size_bytes - offset_bytes)
        for extent in self._image.block_status(offset_bytes, length_bytes):
            if extent.status is not Status.ZERO:
                yield extent.offset_bytes, extent.end_bytes

    def close(self) -> None:
        """Nothing: the node below closes its own."""


class NullStore:
    """Takes everything, keeps nothing, reads as zeros."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """Zeros."""
        return bytes(length_bytes)

    def write(self, offset_bytes: int, data: Data) -> None:
        """Nothing is kept."""

    def flush(self) -> None:
        """Nothing to do."""

    def truncate(self, size_bytes: int) -> None:
        """The size is all that there is."""
        self.size_bytes = size_bytes

    def data_ranges(self, offset_bytes: int, length_bytes: int) -> Iterator[tuple[int, int]]:
        """All of it may be anything, as far as anybody knows."""
        yield offset_bytes, offset_bytes + length_bytes

    def close(self) -> None:
        """Nothing to do."""
