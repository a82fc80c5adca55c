"""Compressed clusters: raw deflate streams with a window of 4 KiB."""

from __future__ import annotations

import zlib
from typing import Final

from cleancut_reference.image.image import ImageError
from cleancut_reference.image.qcow2.layout import Geometry
from cleancut_reference.image.qcow2.ordered_store import OrderedStore

_WINDOW_BITS: Final = -12  # negative: no zlib header


def compress(data: bytes) -> bytes | None:
    """The compressed data, or None where that saves no space."""
    packer = zlib.compressobj(level=6, wbits=_WINDOW_BITS, memLevel=9)
    packed = packer.compress(data) + packer.flush()
    return packed if len(packed) < len(data) else None


def read_compressed(store: OrderedStore, name: str, geometry: Geometry, entry: int) -> bytes:
    """The content of a compressed cluster."""
    offset, length = geometry.compressed_span(entry)
    unpacker = zlib.decompressobj(wbits=_WINDOW_BITS)
    try:
        data = unpacker.decompress(store.read(offset, length), geometry.cluster_bytes)
    except zlib.error as error:
        raise ImageError(name, f"compressed cluster at {offset:#x}", str(error)) from None
    if len(data) != geometry.cluster_bytes:
        desc = f"{len(data)} bytes, not {geometry.cluster_bytes}"
        raise ImageError(name, f"compressed cluster at {offset:#x}", desc)
    return data
