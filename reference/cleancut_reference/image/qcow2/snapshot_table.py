"""The table of the internal snapshots: read, checked and packed."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from cleancut_reference.image.image import ImageError, Snapshot
from cleancut_reference.image.qcow2.header import Header, check_place
from cleancut_reference.image.qcow2.layout import (
    ENTRY_BYTES,
    MAX_L1_BYTES,
    MAX_SNAPSHOT_TABLE_BYTES,
)
from cleancut_reference.image.store import Store

#: L1 (offset, entries), lengths of id and name, date (s, ns), VM clock, old VM state size, extra
_ENTRY: Final = struct.Struct(">QIHHIIQII")
#: VM state size, disk size, instruction count
_EXTRA: Final = struct.Struct(">QQQ")
_EXTRA_REQUIRED_BYTES: Final = 16
_EXTRA_LIMIT_BYTES: Final = 1024
_NO_ICOUNT: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Record:
    """A snapshot and where its L1 table lies."""

    snapshot: Snapshot
    l1_offset: int
    l1_entries: int
    unknown_extra: bytes = b""
    complete: bool = True  # whether its entry says the size of the disk, as it must


def read_table(store: Store, name: str, header: Header) -> tuple[tuple[Record, ...], int]:
    """The snapshots of an image, oldest first, and the length of their table in bytes."""
    records, at = [], header.snapshots_offset
    for number in range(header.snapshot_count):
        field = f"snapshot {number}"
        if at + _ENTRY.size > store.size_bytes:
            raise ImageError(name, field, "it lies past the end of the file")
        record, length = _read_record(store, name, field, header, at)
        at += length
        if at - header.snapshots_offset > MAX_SNAPSHOT_TABLE_BYTES:
            raise ImageError(name, "snapshot table", "it is too long")
        records.append(record)
    return tuple(records), at - header.snapshots_offset


def _read_record(
    store: Store, name: str, field: str, header: Header, at: int
) -> tuple[Record, int]:
    head = _ENTRY.unpack(store.read(at, _ENTRY.size))
    l1_offset, l1_entries, id_bytes, name_bytes, seconds, nanoseconds, clock, state, extra = head
    if extra > _EXTRA_LIMIT_BYTES:
        raise ImageError(name, field, f"{extra} bytes of extra data are too many")
    data = store.read(at + _ENTRY.size, extra + id_bytes + name_bytes)
    known = data[: min(extra, _EXTRA.size)].ljust(_EXTRA.size, b"\xff")
    state_bytes, size_bytes, icount = _EXTRA.unpack(known)
    if extra < _EXTRA_REQUIRED_BYTES:
        state_bytes, size_bytes = state, header.size_bytes
    texts = data[extra:]
    snapshot = Snapshot(
        id=texts[:id_bytes].decode(errors="replace"),
        name=texts[id_bytes:].decode(errors="replace"),
        size_bytes=size_bytes,
        vm_state_bytes=state_bytes,
        date_seconds=seconds,
        date_nanoseconds=nanoseconds,
        vm_clock_nanoseconds=clock,
        icount=None if icount == _NO_ICOUNT else icount,
    )
    length = _ENTRY.size + len(data)
    unknown, complete = data[_EXTRA.size : extra], extra >= _EXTRA_REQUIRED_BYTES
    record = Record(snapshot, l1_offset, l1_entries, unknown, complete)
    return record, length + -length % 8


def check_l1(store: Store, name: str, header: Header, record: Record) -> None:
    """Refuse a snapshot whose L1 table cannot be."""
    field = f"snapshot '{record.snapshot.id}'"
    if record.l1_entries * ENTRY_BYTES > MAX_L1_BYTES:
        raise ImageError(name, field, f"an L1 table of {record.l1_entries} entries is too large")
    length = record.l1_entries * ENTRY_BYTES
    check_place(store, name, f"{field}: L1 table", header.geometry, record.l1_offset, length)


def pack_table(records: tuple[Record, ...]) -> bytes:
    """The snapshots as they are stored."""
    return b"".join(map(_pack_record, records))


def _pack_record(record: Record) -> bytes:
    snapshot = record.snapshot
    texts = snapshot.id.encode(), snapshot.name.encode()
    icount = _NO_ICOUNT if snapshot.icount is None else snapshot.icount
    extra = _EXTRA.pack(snapshot.vm_state_bytes, snapshot.size_bytes, icount) + record.unknown_extra
    state = snapshot.vm_state_bytes if snapshot.vm_state_bytes < 1 << 32 else 0
    head = _ENTRY.pack(
        record.l1_offset,
        record.l1_entries,
        len(texts[0]),
        len(texts[1]),
        snapshot.date_seconds,
        snapshot.date_nanoseconds,
        snapshot.vm_clock_nanoseconds,
        state,
        len(extra),
    )
    data = head + extra + b"".join(texts)
    return data + bytes(-len(data) % 8)
