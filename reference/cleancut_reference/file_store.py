"""The edge: a file as the store of an image."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Final

from cleancut_reference.image.store import ZEROS, Data

_NO_MORE_DATA: Final = errno.ENXIO

_NOWHERE: Final = 1 << 63

#: Shorter requests are not worth a question for holes.
_LOOK_BYTES: Final = 1 << 16


class FileStore:
    """A file, by its descriptor, which it closes."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._size_bytes = os.fstat(descriptor).st_size
        self.highest_bytes = 0  # where the last byte ends that was written

    @property
    def size_bytes(self) -> int:
        """The length of the file; nobody else changes it while an image is open."""
        return self._size_bytes

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """The bytes of a range; zeros past the end of the file, and where it has a hole."""
        if length_bytes >= _LOOK_BYTES and self._is_hole(offset_bytes, length_bytes):
            return ZEROS if length_bytes == len(ZEROS) else bytes(length_bytes)
        pieces, got = [], 0
        while got < length_bytes:
            piece = os.pread(self.descriptor, length_bytes - got, offset_bytes + got)
            if not piece:
                pieces.append(bytes(length_bytes - got))
                break
            pieces.append(piece)
            got += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def write(self, offset_bytes: int, data: Data) -> None:
        """Replace the bytes of a range."""
        view = memoryview(data).cast("B")
        while view:
            done = os.pwrite(self.descriptor, view, offset_bytes)
            offset_bytes, view = offset_bytes + done, view[done:]
            self._size_bytes = max(self._size_bytes, offset_bytes)
            self.highest_bytes = max(self.highest_bytes, offset_bytes)

    def _is_hole(self, offset_bytes: int, length_bytes: int) -> bool:
        """Whether the file has nothing on the disk for this range."""
        return self._next_data(offset_bytes) >= offset_bytes + length_bytes

    def _next_data(self, offset_bytes: int) -> int:
        """Where the file has data at or after an offset."""
        try:
            return os.lseek(self.descriptor, offset_bytes, os.SEEK_DATA)
        except OSError as error:
            if error.errno == _NO_MORE_DATA:
                return _NOWHERE
            raise

    def flush(self) -> None:
        """Return when everything written so far is on the disk."""
        os.fdatasync(self.descriptor)

    def truncate(self, size_bytes: int) -> None:
        """Cut off the end, or add zeros to it."""
        os.ftruncate(self.descriptor, size_bytes)
        self._size_bytes = size_bytes

    def data_ranges(self, offset_bytes: int, length_bytes: int) -> Iterator[tuple[int, int]]:
        """The parts of a range that are no holes of the file."""
        at, limit = offset_bytes, min(offset_bytes + length_bytes, self._size_bytes)
        while at < limit:
            start = self._next_data(at)
            if start >= limit:
                return
            at = min(os.lseek(self.descriptor, start, os.SEEK_HOLE), limit)
            yield start, at

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.descriptor)
