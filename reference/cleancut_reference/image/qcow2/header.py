"""The header of an image and its extensions: read, checked and written."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from enum import IntFlag
from typing import Final, NamedTuple

from cleancut_reference.image.image import ImageError
from cleancut_reference.image.qcow2.layout import (
    CLUSTER_BITS,
    ENTRY_BYTES,
    MAGIC,
    MAX_BACKING_NAME_BYTES,
    MAX_L1_BYTES,
    MAX_REFCOUNT_TABLE_BYTES,
    MAX_SNAPSHOTS,
    REFCOUNT_ORDERS,
    VERSION,
    Geometry,
)
from cleancut_reference.image.store import Store

_FIXED: Final = struct.Struct(">4sIQIIQIIQQIIQQQQII")
_EXTENSION: Final = struct.Struct(">II")
_BITMAPS: Final = struct.Struct(">IIQQ")

_END_EXTENSION: Final = 0
_BACKING_FORMAT: Final = 0xE2792ACA
_BITMAPS_EXTENSION: Final = 0x23852875


class Incompatible(IntFlag):
    """Features without whose knowledge an image cannot be read."""

    DIRTY = 1
    CORRUPT = 2
    DATA_FILE = 4
    COMPRESSION_TYPE = 8
    EXTENDED_L2 = 16


LAZY_REFCOUNTS: Final = 1  # the one compatible feature
BITMAPS_VALID: Final = 1  # the one autoclear feature that is kept

_REFUSED: Final = {
    Incompatible.DATA_FILE: "an external data file is not supported",
    Incompatible.COMPRESSION_TYPE: "a compression type other than zlib is not supported",
    Incompatible.EXTENDED_L2: "extended L2 entries are not supported",
}


@dataclass(frozen=True, slots=True)
class BitmapDirectory:
    """Where the directory of the persistent bitmaps lies."""

    count: int
    size_bytes: int
    offset_bytes: int


@dataclass(frozen=True, slots=True)
class Header:
    """The fields of the header; offsets and sizes in bytes."""

    geometry: Geometry
    size_bytes: int
    l1_entries: int = 0
    l1_offset: int = 0
    refcount_table_offset: int = 0
    refcount_table_clusters: int = 0
    snapshot_count: int = 0
    snapshots_offset: int = 0
    incompatible: int = 0
    compatible: int = 0
    autoclear: int = 0
    backing_file: str | None = None
    backing_format: str | None = None
    bitmaps: BitmapDirectory | None = None
    unknown_fields: bytes = b""
    unknown_extensions: tuple[tuple[int, bytes], ...] = field(default=())

    def pack(self, name: str) -> bytes:
        """The header as it is stored; raises ImageError if it does not fit into a cluster."""
        body = self.unknown_fields + b"".join(_pack_extension(*each) for each in self._extensions())
        backing = (self.backing_file or "").encode()
        length = _FIXED.size + len(body)
        if len(backing) > MAX_BACKING_NAME_BYTES:
            raise ImageError(name, "backing file name", f"more than {MAX_BACKING_NAME_BYTES} bytes")
        if length + len(backing) > self.geometry.cluster_bytes:
            raise ImageError(name, "header", "it does not fit into one cluster; use larger ones")
        fixed = _FIXED.pack(
            MAGIC,
            VERSION,
            length if backing else 0,
            len(backing),
            self.geometry.cluster_bits,
            self.size_bytes,
            0,
            self.l1_entries,
            self.l1_offset,
            self.refcount_table_offset,
            self.refcount_table_clusters,
            self.snapshot_count,
            self.snapshots_offset,
            self.incompatible,
            self.compatible,
            self.autoclear,
            self.geometry.refcount_order,
            _FIXED.size + len(self.unknown_fields),
        )
        return fixed + body + backing

    def _extensions(self) -> list[tuple[int, bytes]]:
        found = []
        if self.bitmaps:
            place = self.bitmaps
            data = _BITMAPS.pack(place.count, 0, place.size_bytes, place.offset_bytes)
            found.append((_BITMAPS_EXTENSION, data))
        if self.backing_format:
            found.append((_BACKING_FORMAT, self.backing_format.encode()))
        return [*found, *self.unknown_extensions, (_END_EXTENSION, b"")]


def _pack_extension(kind: int, data: bytes) -> bytes:
    return _EXTENSION.pack(kind, len(data)) + data + bytes(-len(data) % 8)


class _Fixed(NamedTuple):
    """The fields of every header, in the order in which they are stored."""

    magic: bytes
    version: int
    backing_file_offset: int
    backing_file_size: int
    cluster_bits: int
    size: int
    crypt_method: int
    l1_size: int
    l1_table_offset: int
    refcount_table_offset: int
    refcount_table_clusters: int
    nb_snapshots: int
    snapshots_offset: int
    incompatible_features: int
    compatible_features: int
    autoclear_features: int
    refcount_order: int
    header_length: int


def read_header(store: Store, name: str) -> Header:
    """Read and check the header of an image; raises ImageError naming the field."""
    fixed = _Fixed._make(_FIXED.unpack(store.read(0, _FIXED.size)))
    _check_kind(store, name, fixed)
    _check_features(name, fixed)
    geometry = Geometry(fixed.cluster_bits, fixed.refcount_order)
    _check_tables(store, name, fixed, geometry)
    header = Header(
        geometry,
        fixed.size,
        fixed.l1_size,
        fixed.l1_table_offset,
        fixed.refcount_table_offset,
        fixed.refcount_table_clusters,
        fixed.nb_snapshots,
        fixed.snapshots_offset,
        fixed.incompatible_features,
        fixed.compatible_features,
        fixed.autoclear_features,
        _backing_file(store, name, fixed, geometry),
        unknown_fields=store.read(_FIXED.size, fixed.header_length - _FIXED.size),
    )
    end = fixed.backing_file_offset or geometry.cluster_bytes
    return _with_extensions(store, name, header, fixed.header_length, end)


def _check_kind(store: Store, name: str, fixed: _Fixed) -> None:
    """Refuse what is no qcow2 image, and what this program does not know."""
    if fixed.magic != MAGIC:
        raise ImageError(name, "magic", "the file is no qcow2 image")
    if fixed.version != VERSION:
        desc = f"{fixed.version} is not supported, only {VERSION}"
        raise ImageError(name, "version", desc)
    if store.size_bytes < _FIXED.size:
        raise ImageError(name, "header", f"the file ends after {store.size_bytes} bytes")
    if fixed.cluster_bits not in CLUSTER_BITS:
        raise ImageError(name, "cluster_bits", f"{fixed.cluster_bits} is not from 9 to 21")
    if fixed.refcount_order not in REFCOUNT_ORDERS:
        raise ImageError(name, "refcount_order", f"{fixed.refcount_order} is not from 0 to 6")
    length = fixed.header_length
    if length < _FIXED.size or length % 8 or length > 1 << fixed.cluster_bits:
        raise ImageError(name, "header_length", f"{length} is none of a version 3 header")


def _check_features(name: str, fixed: _Fixed) -> None:
    """Refuse what cannot be read without knowing more."""
    if fixed.crypt_method:
        raise ImageError(name, "crypt_method", "encrypted images are not supported")
    for feature, desc in _REFUSED.items():
        if fixed.incompatible_features & feature:
            raise ImageError(name, "incompatible_features", desc)
    if unknown := fixed.incompatible_features & ~sum(Incompatible):
        raise ImageError(name, "incompatible_features", f"unknown bits {unknown:#x}")


def _check_tables(store: Store, name: str, fixed: _Fixed, geometry: Geometry) -> None:
    """Refuse tables that are too large, too small, or not within the file."""
    l1_bytes = fixed.l1_size * ENTRY_BYTES
    if l1_bytes > MAX_L1_BYTES:
        desc = f"{fixed.l1_size} entries are more than {MAX_L1_BYTES} bytes"
        raise ImageError(name, "l1_size", desc)
    if geometry.l1_entries(fixed.size) > fixed.l1_size:
        desc = f"{fixed.l1_size} entries are too few for {fixed.size} bytes"
        raise ImageError(name, "l1_size", desc)
    refcount_bytes = fixed.refcount_table_clusters * geometry.cluster_bytes
    if not 0 < refcount_bytes <= MAX_REFCOUNT_TABLE_BYTES:
        desc = f"{fixed.refcount_table_clusters} is no number of clusters for it"
        raise ImageError(name, "refcount_table_clusters", desc)
    if fixed.nb_snapshots > MAX_SNAPSHOTS:
        desc = f"{fixed.nb_snapshots} are more than {MAX_SNAPSHOTS}"
        raise ImageError(name, "nb_snapshots", desc)
    for table, offset_bytes, length_bytes in (
        ("l1_table_offset", fixed.l1_table_offset, l1_bytes),
        ("refcount_table_offset", fixed.refcount_table_offset, refcount_bytes),
        ("snapshots_offset", fixed.snapshots_offset, fixed.nb_snapshots),
    ):
        check_place(store, name, table, geometry, offset_bytes, length_bytes)


def _backing_file(store: Store, name: str, fixed: _Fixed, geometry: Geometry) -> str | None:
    offset, length = fixed.backing_file_offset, fixed.backing_file_size
    if not offset:
        return None
    if length > min(MAX_BACKING_NAME_BYTES, geometry.cluster_bytes - offset):
        raise ImageError(name, "backing_file_size", f"{length} bytes at {offset} are too many")
    return _text(name, "backing file name", store.read(offset, length))


def check_place(
    store: Store, name: str, field: str, geometry: Geometry, offset_bytes: int, length_bytes: int
) -> None:
    """Refuse a table that begins within a cluster or ends past the end of the file."""
    if not length_bytes:
        return
    if offset_bytes % geometry.cluster_bytes or not offset_bytes:
        raise ImageError(name, field, f"{offset_bytes:#x} is not the start of a cluster")
    if offset_bytes + length_bytes > store.size_bytes:
        raise ImageError(name, field, f"{offset_bytes:#x} lies past the end of the file")


def _text(name: str, field: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ImageError(name, field, f"{data[:40]!r} is no UTF-8") from None


def _with_extensions(store: Store, name: str, header: Header, at: int, end: int) -> Header:
    """The header with what its extensions say."""
    unknown: list[tuple[int, bytes]] = []
    while at + _EXTENSION.size <= end:
        kind, length = _EXTENSION.unpack(store.read(at, _EXTENSION.size))
        at += _EXTENSION.size
        if kind == _END_EXTENSION:
            break
        if length > end - at:
            raise ImageError(name, f"header extension {kind:#x}", f"{length} bytes are too many")
        data = store.read(at, length)
        at += length + -length % 8
        if kind == _BACKING_FORMAT:
            header = replace(header, backing_format=_text(name, "backing format", data))
        elif kind == _BITMAPS_EXTENSION:
            if length != _BITMAPS.size:
                raise ImageError(name, "bitmaps extension", f"{length} bytes, not {_BITMAPS.size}")
            count, _, size_bytes, offset_bytes = _BITMAPS.unpack(data)
            directory = BitmapDirectory(count, size_bytes, offset_bytes)
            header = replace(header, bitmaps=directory)
        else:
            unknown.append((kind, data))
    return replace(header, unknown_extensions=tuple(unknown))
