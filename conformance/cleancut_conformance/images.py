"""Image files of a case: made from extents, looked at as extents."""

from pathlib import Path
from typing import Final

from cleancut_conformance.judge.image import Extents

CLUSTER_BYTES: Final = 65536


def fill(index: int, size_bytes: int) -> Extents:
    """A drive's first content: each cluster has a byte of its own, and no drive has another's."""
    return [
        [at, min(CLUSTER_BYTES, size_bytes - at), (index * 101 + at // CLUSTER_BYTES * 7) % 255 + 1]
        for at in range(0, size_bytes, CLUSTER_BYTES)
    ]


def make(path: Path, size_bytes: int, extents: Extents) -> None:
    """Write an image file."""
    path.write_bytes(expand(size_bytes, extents))


def expand(size_bytes: int, extents: Extents) -> bytes:
    """The bytes that extents describe; zero where there is none."""
    content = bytearray(size_bytes)
    for offset_bytes, length_bytes, byte in extents:
        end = min(offset_bytes + length_bytes, size_bytes)
        content[offset_bytes:end] = bytes([byte]) * (end - offset_bytes)
    return bytes(content)


def look(path: Path) -> tuple[int | None, Extents]:
    """The size and the content of an image file; None if there is no such file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None, []
    return len(content), compress(content)


def compress(content: bytes) -> Extents:
    """Runs of equal bytes that are not zero, as offset, length and byte."""
    extents: Extents = []
    for at in range(0, len(content), CLUSTER_BYTES):
        for offset, length, byte in _runs(content[at : at + CLUSTER_BYTES], CLUSTER_BYTES):
            end = extents[-1][0] + extents[-1][1] if extents else -1
            if byte and end == at + offset and extents[-1][2] == byte:
                extents[-1][1] += length
            elif byte:
                extents.append([at + offset, length, byte])
    return extents


def _runs(piece: bytes, size_bytes: int) -> list[tuple[int, int, int]]:
    """The runs in a piece, found by halves of it that are uniform."""
    if not piece:
        return []
    if piece == piece[:1] * len(piece):
        return [(0, len(piece), piece[0])]
    half = max(1, min(size_bytes // 2, len(piece) - 1))
    left, right = _runs(piece[:half], half), _runs(piece[half:], half)
    return left + [(half + offset, length, byte) for offset, length, byte in right]
