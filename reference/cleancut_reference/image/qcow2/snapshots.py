"""Internal snapshots: made and deleted with a single write of the header.

A snapshot shares the clusters of the active disk, so each gets one more reference, and the active
disk may write none of them in place. Both are written to new places first: refcounts, L2 tables, L1
table, snapshot table. Until the header names them, the image is what it was; from then on it is
what it becomes; the old places are freed afterwards.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from cleancut_reference.image.image import ImageError, Snapshot, Status
from cleancut_reference.image.qcow2.layout import (
    COPIED,
    ENTRY_BYTES,
    MAX_SNAPSHOTS,
    OFFSET_MASK,
    word_bytes,
    words,
)
from cleancut_reference.image.qcow2.metadata import Metadata
from cleancut_reference.image.qcow2.runs import table_runs
from cleancut_reference.image.qcow2.snapshot_table import Record, check_l1, pack_table, read_table
from cleancut_reference.image.qcow2.tables import load_l2

_LONGEST_NAME_BYTES: Final = 255


def read_snapshots(metadata: Metadata) -> tuple[Record, ...]:
    """The snapshots of an image, oldest first."""
    store, name, header = metadata.store.store, metadata.name, metadata.header
    records, _ = read_table(store, name, header)
    for record in records:
        check_l1(store, name, header, record)
    return records


def next_id(snapshots: tuple[Snapshot, ...]) -> str:
    """The id of the next snapshot: one more than the highest number in use."""
    numbers = [int(each.id) for each in snapshots if each.id.isascii() and each.id.isdigit()]
    return str(max(numbers, default=0) + 1)


def create(
    metadata: Metadata, records: tuple[Record, ...], snapshot: Snapshot
) -> tuple[Record, ...]:
    """Add a snapshot of the active disk; returns all snapshots."""
    _check_name(metadata, records, snapshot.name)
    with _switch(metadata, records) as switch:
        l1 = metadata.tables.l1[:]
        for index, offset in _l2_tables(metadata, l1):
            entries = _load(metadata, index, offset)
            switch.count(entries, 1)
            if l1[index] & COPIED:  # its entries are to be written in place no longer
                offset = switch.write(word_bytes(_without_copied(entries)))
                switch.replaced.append((metadata.tables.l1[index] & OFFSET_MASK, switch.cluster))
                l1[index] = offset
            switch.count_table(offset, 1)
        l1_offset = switch.write(word_bytes(l1))
        switch.l1 = l1
        switch.records = (*records, Record(snapshot, l1_offset, len(l1)))
    return switch.records


def delete(metadata: Metadata, records: tuple[Record, ...], snapshot_id: str) -> tuple[Record, ...]:
    """Remove a snapshot by its id; returns those that are left."""
    found = find(metadata, records, snapshot_id)
    with _switch(metadata, records) as switch:
        l1_bytes = found.l1_entries * ENTRY_BYTES
        l1 = words(metadata.store.read(found.l1_offset, l1_bytes))
        for index, offset in _l2_tables(metadata, l1):
            switch.count(_load(metadata, index, offset), -1)
            switch.count_table(offset, -1)
        switch.replaced.append((found.l1_offset, l1_bytes))
        switch.l1 = _with_copied(metadata, switch)
        switch.records = tuple(each for each in records if each is not found)
    return switch.records


def find(metadata: Metadata, records: tuple[Record, ...], snapshot_id: str) -> Record:
    """The snapshot with an id; raises ImageError if there is none."""
    for record in records:
        if record.snapshot.id == snapshot_id:
            return record
    raise ImageError(metadata.name, "snapshot", f"there is none with the id '{snapshot_id}'")


class _Switch:
    """What is written to new places before the header changes."""

    def __init__(self, metadata: Metadata, records: tuple[Record, ...]) -> None:
        self._metadata = metadata
        self.cluster = metadata.geometry.cluster_bytes
        self.l1 = metadata.tables.l1
        self.records = records
        self.replaced: list[tuple[int, int]] = []  # offset and length of what is freed afterwards

    def write(self, data: bytes) -> int:
        """Write a table past the end; its offset."""
        return self._metadata.write_new(data)

    def count_table(self, offset_bytes: int, delta: int) -> None:
        """Change the references to an L2 table."""
        self._metadata.refcounts.add(offset_bytes >> self._metadata.geometry.cluster_bits, 1, delta)

    def count(self, entries: array[int], delta: int) -> None:
        """Change the references to what the entries of an L2 table refer to."""
        geometry, add = self._metadata.geometry, self._metadata.refcounts.add
        for run in table_runs(entries, geometry, 0, len(entries)):
            if run.status is Status.COMPRESSED:
                add(*geometry.host_clusters(run.entry), delta)
            elif run.host_offset:
                add(run.host_offset >> geometry.cluster_bits, run.clusters, delta)


@contextmanager
def _switch(metadata: Metadata, records: tuple[Record, ...]) -> Iterator[_Switch]:
    """Prepare new tables within the block; let the header name them at its end, or forget them."""
    metadata.flush()
    _, old_table_bytes = read_table(metadata.store.store, metadata.name, metadata.header)
    old = metadata.header
    metadata.allocator.begin_at_end()
    switch = _Switch(metadata, records)
    try:
        yield switch
        fields: dict[str, Any] = {"l1_entries": len(switch.l1)}
        if switch.l1 is not metadata.tables.l1:
            fields["l1_offset"] = switch.write(word_bytes(switch.l1))
            switch.replaced.append((old.l1_offset, old.l1_entries * ENTRY_BYTES))
        fields["snapshots_offset"] = switch.write(pack_table(switch.records))
        fields["snapshot_count"] = len(switch.records)
        switch.replaced.append((old.snapshots_offset, old_table_bytes))
        counts, old_counts = metadata.refcounts.rebuild()
        metadata.publish(**fields, **counts)
    except (OSError, ImageError):
        metadata.reload()
        raise
    metadata.allocator.finish_at_end()
    metadata.tables.replace(switch.l1, metadata.header.l1_offset)
    for first, count in old_counts:
        metadata.allocator.give_back(first, count)
    for offset, length in switch.replaced:
        metadata.give_back_bytes(offset, length)
    metadata.flush()


def _check_name(metadata: Metadata, records: tuple[Record, ...], name: str) -> None:
    if not name or len(name.encode()) > _LONGEST_NAME_BYTES:
        desc = f"'{name[:40]}' is empty or longer than {_LONGEST_NAME_BYTES} bytes"
        raise ImageError(metadata.name, "snapshot name", desc)
    if any(each.snapshot.name == name for each in records):
        raise ImageError(metadata.name, "snapshot name", f"'{name}' exists already")
    if len(records) >= MAX_SNAPSHOTS:
        raise ImageError(metadata.name, "snapshots", f"there are {MAX_SNAPSHOTS} already")


def _l2_tables(metadata: Metadata, l1: array[int]) -> Iterator[tuple[int, int]]:
    """Index and offset of each L2 table that an L1 table refers to, each of them once."""
    seen = set()
    for index, entry in enumerate(l1):
        offset = entry & OFFSET_MASK
        if offset in seen:
            desc = f"the L2 table at {offset:#x} belongs to another entry, too"
            raise ImageError(metadata.name, f"L1 entry {index}", desc)
        if offset:
            seen.add(offset)
            yield index, offset


def _load(metadata: Metadata, index: int, offset_bytes: int) -> array[int]:
    cluster_bytes = metadata.geometry.cluster_bytes
    return load_l2(metadata.store, metadata.name, cluster_bytes, index, offset_bytes)


def _without_copied(entries: array[int]) -> array[int]:
    return array("Q", [entry & ~COPIED for entry in entries])


def _with_copied(metadata: Metadata, switch: _Switch) -> array[int]:
    """The active L1 table, and new L2 tables where clusters are now referred to only once."""
    get, geometry = metadata.refcounts.get, metadata.geometry
    l1 = metadata.tables.l1[:]
    for index, offset in _l2_tables(metadata, l1):
        if get(offset >> geometry.cluster_bits) != 1:
            continue
        entries, changed = _load(metadata, index, offset), False
        for run in table_runs(entries, geometry, 0, len(entries)):
            if run.status is Status.COMPRESSED or not run.host_offset or run.entry & COPIED:
                continue
            for at in range(run.first, run.first + run.clusters):
                if get((entries[at] & OFFSET_MASK) >> geometry.cluster_bits) == 1:
                    entries[at] |= COPIED
                    changed = True
        if changed:
            switch.replaced.append((offset, switch.cluster))
            offset = switch.write(word_bytes(entries))
        l1[index] = offset | COPIED
    return l1
