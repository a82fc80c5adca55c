"""Persistent dirty bitmaps: the directory, their tables and their bits."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cleancut_reference.image.image import Bitmap, ImageError
from cleancut_reference.image.qcow2.header import (
    BITMAPS_VALID,
    BitmapDirectory,
    Header,
    check_place,
)
from cleancut_reference.image.qcow2.layout import ENTRY_BYTES, OFFSET_MASK, word_bytes, words
from cleancut_reference.image.qcow2.metadata import Metadata
from cleancut_reference.image.store import Store

#: table (offset, entries), flags, type, granularity bits, lengths of name and extra data
_ENTRY: Final = struct.Struct(">QIIBBHI")
_FLAGS_OFFSET: Final = 12
_IN_USE, _AUTO, _EXTRA_COMPATIBLE = 1, 2, 4
_DIRTY_TRACKING: Final = 1
_GRANULARITY_BITS: Final = range(9, 32)
_LONGEST_NAME_BYTES: Final = 1023
_MOST_BITMAPS: Final = 65535
_MOST_DIRECTORY_BYTES: Final = 64 << 20
#: A disk of 32 TiB with a granularity of 64 KiB; the bits of all bitmaps are held in memory.
_MOST_BITS_BYTES: Final = 64 << 20
_ALL_ONES: Final = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A bitmap as the directory lists it."""

    name: str
    table_offset: int
    table_entries: int
    flags: int
    granularity_bits: int
    flags_offset: int  # where in the store its flags lie


def bits_bytes(size_bytes: int, granularity_bits: int) -> int:
    """How many bytes hold the bits of a disk of a size."""
    return (-(-size_bytes >> granularity_bits) + 7) // 8


def read_directory(store: Store, name: str, header: Header) -> list[Entry]:
    """The entries of the directory; none where the bitmaps are not valid."""
    place = header.bitmaps
    if place is None or not header.autoclear & BITMAPS_VALID:
        return []
    if place.count > _MOST_BITMAPS or place.size_bytes > _MOST_DIRECTORY_BYTES:
        raise ImageError(name, "bitmap directory", f"{place.size_bytes} bytes are too many")
    check_place(
        store, name, "bitmap directory", header.geometry, place.offset_bytes, place.size_bytes
    )
    found, at, end = [], place.offset_bytes, place.offset_bytes + place.size_bytes
    for number in range(place.count):
        field = f"bitmap {number}"
        if at + _ENTRY.size > end:
            raise ImageError(name, field, "it lies past the end of the directory")
        entry, length = _read_entry(store, name, field, header, at)
        at += length
        found.append(entry)
    if at != end:
        raise ImageError(
            name, "bitmap directory", f"it is {end - at} bytes longer than its entries"
        )
    return found


def _read_entry(store: Store, name: str, field: str, header: Header, at: int) -> tuple[Entry, int]:
    fields = _ENTRY.unpack(store.read(at, _ENTRY.size))
    table_offset, table_entries, flags, kind, granularity_bits, name_bytes, extra_bytes = fields
    if kind != _DIRTY_TRACKING or flags & ~(_IN_USE | _AUTO | _EXTRA_COMPATIBLE) or extra_bytes:
        raise ImageError(name, field, f"type {kind} or flags {flags:#x} are not known")
    if granularity_bits not in _GRANULARITY_BITS:
        raise ImageError(name, field, f"a granularity of 2^{granularity_bits} bytes")
    if not 0 < name_bytes <= _LONGEST_NAME_BYTES:
        raise ImageError(name, field, f"a name of {name_bytes} bytes")
    text = store.read(at + _ENTRY.size, name_bytes).decode(errors="replace")
    if table_entries * header.geometry.cluster_bytes > _MOST_BITS_BYTES:
        raise ImageError(name, f"bitmap '{text}'", f"{table_entries} clusters of bits are too many")
    table_bytes = table_entries * ENTRY_BYTES
    check_place(store, name, f"bitmap '{text}'", header.geometry, table_offset, table_bytes)
    entry = Entry(text, table_offset, table_entries, flags, granularity_bits, at + _FLAGS_OFFSET)
    length = _ENTRY.size + name_bytes
    return entry, length + -length % 8


def read_bitmaps(metadata: Metadata) -> tuple[Bitmap, ...]:
    """All bitmaps with their bits; those in use have none that could be trusted."""
    found, total = [], 0
    for entry in _directory(metadata):
        in_use = bool(entry.flags & _IN_USE)
        length = bits_bytes(metadata.header.size_bytes, entry.granularity_bits)
        total += length
        if total > _MOST_BITS_BYTES:
            desc = f"more than {_MOST_BITS_BYTES} bytes of bits"
            raise ImageError(metadata.name, f"bitmap '{entry.name}'", desc)
        bits = bytes(length) if in_use else _read_bits(metadata, entry, length)
        granularity, recording = 1 << entry.granularity_bits, bool(entry.flags & _AUTO)
        found.append(Bitmap(entry.name, granularity, bits, recording, in_use))
    return tuple(found)


def _read_bits(metadata: Metadata, entry: Entry, length: int) -> bytes:
    cluster_bytes, pieces = metadata.geometry.cluster_bytes, []
    if metadata.geometry.clusters(length) != entry.table_entries:
        desc = f"{entry.table_entries} clusters of bits, not those of {length} bytes"
        raise ImageError(metadata.name, f"bitmap '{entry.name}'", desc)
    for place in _table(metadata, entry):
        offset = place & OFFSET_MASK
        if not offset:
            pieces.append((b"\xff" if place & _ALL_ONES else b"\0") * cluster_bytes)
            continue
        if offset % cluster_bytes or offset >= metadata.store.size_bytes:
            desc = f"{offset:#x} is no place of its bits"
            raise ImageError(metadata.name, f"bitmap '{entry.name}'", desc)
        pieces.append(metadata.store.read(offset, cluster_bytes))
    return b"".join(pieces)[:length]


def _directory(metadata: Metadata) -> list[Entry]:
    return read_directory(metadata.store.store, metadata.name, metadata.header)


def _table(metadata: Metadata, entry: Entry) -> array[int]:
    return words(metadata.store.read(entry.table_offset, entry.table_entries * ENTRY_BYTES))


def mark_in_use(metadata: Metadata) -> None:
    """Say in the image that no bitmap is to be trusted from now on."""
    for entry in _directory(metadata):
        if not entry.flags & _IN_USE:
            flags = struct.pack(">I", entry.flags | _IN_USE)
            metadata.store.write(entry.flags_offset, flags)
    metadata.store.barrier()


def store_bitmaps(metadata: Metadata, bitmaps: tuple[Bitmap, ...]) -> None:
    """Write bitmaps to new places, and let the header name them instead of the old ones."""
    for bitmap in bitmaps:
        _check(metadata, bitmap)
    old = list(_places(metadata))
    metadata.commit()
    if bitmaps:
        directory = b"".join(_write_bitmap(metadata, bitmap) for bitmap in bitmaps)
        offset = metadata.write_new(directory)
        place: BitmapDirectory | None = BitmapDirectory(len(bitmaps), len(directory), offset)
    else:
        place = None
    metadata.flush()
    metadata.publish(bitmaps=place, autoclear=BITMAPS_VALID if bitmaps else 0)
    for offset, length in old:
        metadata.give_back_bytes(offset, length)
    metadata.flush()


def _places(metadata: Metadata) -> Iterator[tuple[int, int]]:
    """Offset and length of everything that the bitmaps of an image take."""
    entries = _directory(metadata)
    for entry in entries:
        for place in _table(metadata, entry):
            if place & OFFSET_MASK:
                yield place & OFFSET_MASK, metadata.geometry.cluster_bytes
        yield entry.table_offset, entry.table_entries * ENTRY_BYTES
    if entries and metadata.header.bitmaps:
        yield metadata.header.bitmaps.offset_bytes, metadata.header.bitmaps.size_bytes


def _check(metadata: Metadata, bitmap: Bitmap) -> None:
    field, size_bytes = f"bitmap '{bitmap.name[:40]}'", metadata.header.size_bytes
    granularity_bits = bitmap.granularity_bytes.bit_length() - 1
    if (
        granularity_bits not in _GRANULARITY_BITS
        or bitmap.granularity_bytes != 1 << granularity_bits
    ):
        desc = (
            f"a granularity of {bitmap.granularity_bytes} bytes is no power of two from 512 to 2G"
        )
        raise ImageError(metadata.name, field, desc)
    if not 0 < len(bitmap.name.encode()) <= _LONGEST_NAME_BYTES:
        desc = f"its name is empty or longer than {_LONGEST_NAME_BYTES} bytes"
        raise ImageError(metadata.name, field, desc)
    length = bits_bytes(size_bytes, granularity_bits)
    if len(bitmap.bits) != length or length > _MOST_BITS_BYTES:
        desc = f"{len(bitmap.bits)} bytes of bits, not the {length} of a disk of {size_bytes} bytes"
        raise ImageError(metadata.name, field, desc)


def _write_bitmap(metadata: Metadata, bitmap: Bitmap) -> bytes:
    """Write the bits and the table of a bitmap; returns its entry of the directory."""
    cluster_bytes, table = metadata.geometry.cluster_bytes, array("Q")
    for at in range(0, len(bitmap.bits), cluster_bytes):
        piece = bitmap.bits[at : at + cluster_bytes]
        zero = piece.count(0) == len(piece)
        table.append(0 if zero else metadata.write_new(piece.ljust(cluster_bytes, b"\0")))
    name, flags = bitmap.name.encode(), _AUTO if bitmap.recording else 0
    entry = _ENTRY.pack(
        metadata.write_new(word_bytes(table)),
        len(table),
        flags | (_IN_USE if bitmap.in_use else 0),
        _DIRTY_TRACKING,
        bitmap.granularity_bytes.bit_length() - 1,
        len(name),
        0,
    )
    return entry + name + bytes(-(len(entry) + len(name)) % 8)
