"""An image in memory: sparse, zero where nothing was written."""

from typing import Final

from cleancut_reference.arithmetic import byte_span, cluster_span

_BLOCK_BYTES: Final = 65536


class MemoryImage:
    """Holds only the blocks that were written."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._blocks: dict[int, bytearray] = {}

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """The bytes of a range within the image."""
        assert offset_bytes + length_bytes <= self.size_bytes, "a read past the end"
        zero = bytes(_BLOCK_BYTES)
        first, end = cluster_span(offset_bytes, length_bytes, _BLOCK_BYTES)
        whole = b"".join(self._blocks.get(block, zero) for block in range(first, end))
        skip = offset_bytes - first * _BLOCK_BYTES
        return whole[skip : skip + length_bytes]

    def write(self, offset_bytes: int, data: bytes) -> None:
        """Replace the bytes of a range within the image."""
        assert offset_bytes + len(data) <= self.size_bytes, "a write past the end"
        for block in range(*cluster_span(offset_bytes, len(data), _BLOCK_BYTES)):
            start, length = byte_span(block, block + 1, _BLOCK_BYTES, offset_bytes + len(data))
            skip = max(offset_bytes - start, 0)
            piece = data[start + skip - offset_bytes : start + length - offset_bytes]
            stored = self._blocks.setdefault(block, bytearray(_BLOCK_BYTES))
            stored[skip : skip + len(piece)] = piece

    def reset(self, size_bytes: int) -> None:
        """Empty the image and give it a size."""
        self._blocks.clear()
        self.size_bytes = size_bytes
