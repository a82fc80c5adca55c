"""The L1 table and the L2 tables: where each cluster of the guest's disk lies."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Final

from cleancut_reference.image.image import ImageError
from cleancut_reference.image.qcow2.allocator import Allocator
from cleancut_reference.image.qcow2.header import Header
from cleancut_reference.image.qcow2.layout import (
    CACHE_BYTES,
    COPIED,
    ENTRY_BYTES,
    OFFSET_MASK,
    word_bytes,
    words,
)
from cleancut_reference.image.qcow2.ordered_store import OrderedStore


class L2Table:
    """An L2 table in memory, and which of its entries have changed."""

    __slots__ = ("end_dirty", "entries", "first_dirty", "offset_bytes")

    def __init__(self, entries: array[int], offset_bytes: int) -> None:
        self.entries = entries
        self.offset_bytes = offset_bytes
        self.first_dirty = self.end_dirty = 0

    def put(self, first: int, entries: array[int]) -> None:
        """Replace some entries."""
        end = first + len(entries)
        self.entries[first:end] = entries
        self.first_dirty = min(self.first_dirty, first) if self.end_dirty else first
        self.end_dirty = max(self.end_dirty, end)


class Tables:
    """The tables of the active disk; changes stay in memory until they are written back."""

    def __init__(self, store: OrderedStore, name: str, header: Header, taker: Allocator) -> None:
        self._store = store
        self._name = name
        self._taker = taker
        self._geometry = header.geometry
        self._cache_limit: Final = max(4, CACHE_BYTES >> header.geometry.cluster_bits)
        self._cache: dict[int, L2Table] = {}
        self._l1_dirty: set[int] = set()
        self._places: set[int] = set()  # the clusters of all these tables, once asked for
        self._l1_offset = header.l1_offset
        self.l1 = words(store.read(header.l1_offset, header.l1_entries * ENTRY_BYTES))

    @property
    def dirty(self) -> bool:
        """Whether something is in memory alone."""
        return bool(self._l1_dirty) or any(table.end_dirty for table in self._cache.values())

    @property
    def crowded(self) -> bool:
        """Whether so much is in memory that it is time to write it back."""
        return len(self._cache) > 2 * self._cache_limit

    def get(self, index: int) -> L2Table | None:
        """The L2 table of an L1 entry, if it has one."""
        table = self._cache.get(index)
        if table is None and self.l1[index] & OFFSET_MASK:
            if len(self._cache) > self._cache_limit:
                self._evict()
            offset = self.l1[index] & OFFSET_MASK
            entries = load_l2(self._store, self._name, self._geometry.cluster_bytes, index, offset)
            table = self._cache[index] = L2Table(entries, offset)
        return table

    def places(self) -> set[int]:
        """The clusters that the L1 table and its L2 tables lie in."""
        if not self._places:
            bits = self._geometry.cluster_bits
            first = self._l1_offset >> bits
            count = self._geometry.clusters(len(self.l1) * ENTRY_BYTES)
            self._places.update(range(first, first + count))
            self._places.update((entry & OFFSET_MASK) >> bits for entry in self.l1 if entry)
        return self._places

    def get_to_change(self, index: int) -> L2Table:
        """The L2 table of an L1 entry, for this disk alone: new if there is none, else copied."""
        table = self.get(index)
        if table is not None and self.l1[index] & COPIED:
            return table
        cluster, _ = self._taker.take(1)
        offset = cluster << self._geometry.cluster_bits
        if table is None:
            entries = array("Q", bytes(self._geometry.cluster_bytes))
        else:
            self._taker.drop(table.offset_bytes >> self._geometry.cluster_bits, 1)
            entries = table.entries
        new = self._cache[index] = L2Table(entries, offset)
        new.put(0, entries)
        if self._places:
            self._places.add(cluster)
        self.l1[index] = offset | COPIED
        self._l1_dirty.add(index)
        return new

    def remove(self, index: int) -> None:
        """Drop an L2 table whose entries are all empty."""
        if self.l1[index] & OFFSET_MASK:
            cluster = (self.l1[index] & OFFSET_MASK) >> self._geometry.cluster_bits
            self._taker.drop(cluster, 1)
            self._cache.pop(index, None)
            self._places.clear()
            self.l1[index] = 0
            self._l1_dirty.add(index)

    def write_l2(self) -> None:
        """Write the L2 entries that have changed; what they refer to must be safe already."""
        for table in self._cache.values():
            if table.end_dirty:
                first, end = table.first_dirty, table.end_dirty
                data = word_bytes(table.entries[first:end])
                self._store.write(table.offset_bytes + first * ENTRY_BYTES, data)
                table.first_dirty = table.end_dirty = 0
        self._evict()

    def write_l1(self) -> None:
        """Write the L1 entries that have changed; the L2 tables must be safe already."""
        for first, end in _rows(sorted(self._l1_dirty)):
            data = word_bytes(self.l1[first:end])
            self._store.write(self._l1_offset + first * ENTRY_BYTES, data)
        self._l1_dirty.clear()

    def replace(self, l1: array[int], l1_offset: int) -> None:
        """Go on with another L1 table, which is in the store already."""
        self.l1, self._l1_offset = l1, l1_offset
        self._cache.clear()
        self._places.clear()
        self._l1_dirty.clear()

    def _evict(self) -> None:
        """Forget the tables that were loaded first, but none that has changed."""
        surplus = len(self._cache) - self._cache_limit // 2
        if surplus <= 0:
            return
        clean = (at for at, table in self._cache.items() if not table.end_dirty)
        for index in [at for at, _ in zip(clean, range(surplus), strict=False)]:
            del self._cache[index]


def load_l2(
    store: OrderedStore, name: str, cluster_bytes: int, index: int, offset_bytes: int
) -> array[int]:
    """The entries of the L2 table that an L1 entry refers to."""
    if offset_bytes % cluster_bytes or offset_bytes + cluster_bytes > store.size_bytes:
        raise ImageError(name, f"L1 entry {index}", f"{offset_bytes:#x} is no place of an L2 table")
    return words(store.read(offset_bytes, cluster_bytes))


def _rows(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Sorted numbers as runs: first and end."""
    at = 0
    while at < len(numbers):
        start = at
        while at + 1 < len(numbers) and numbers[at + 1] == numbers[at] + 1:
            at += 1
        yield numbers[start], numbers[at] + 1
        at += 1
