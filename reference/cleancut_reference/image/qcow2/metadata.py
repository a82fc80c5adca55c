"""Everything an open image knows of itself, and the order in which it is written.

A crash may lose what was not flushed, in part and in any order. Therefore

1. refcounts go up before anything refers to a cluster,
2. data and L2 tables are safe before the entry that refers to them,
3. refcounts go down, and clusters are used again, after no entry refers to them.

Whatever is interrupted leaves clusters that nothing refers to: leaks, no corruption. What cannot be
ordered so (snapshots, a new L1 or refcount table) is written elsewhere, and takes effect with the
one write of the header, which lies in one page and is taken to be written whole or not at all.
"""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import Any

from cleancut_reference.image.image import ImageError
from cleancut_reference.image.qcow2.allocator import Allocator
from cleancut_reference.image.qcow2.header import Header
from cleancut_reference.image.qcow2.layout import ENTRY_BYTES, word_bytes
from cleancut_reference.image.qcow2.ordered_store import OrderedStore
from cleancut_reference.image.qcow2.refcounts import Refcounts
from cleancut_reference.image.qcow2.tables import Tables


class Metadata:
    """The header, the refcounts and the tables of an open image."""

    def __init__(self, store: OrderedStore, name: str, header: Header) -> None:
        self.store = store
        self.name = name
        self.header = header
        self.geometry = header.geometry
        self._unsettled = False
        self._replaced: list[tuple[int, int]] = []  # clusters of old refcounts, not free yet
        self.reload()

    def reload(self) -> None:
        """Forget everything that is in memory alone."""
        self._replaced.clear()
        self.refcounts = Refcounts(self.store, self.name, self.header)
        self.allocator = Allocator(self.refcounts)
        self.tables = Tables(self.store, self.name, self.header, self.allocator)
        self.allocator.guard = self.guard

    def guard(self, first: int, count: int) -> None:
        """Refuse to write data over the header or a table, to which a damaged image may lead."""
        clusters = range(first, first + count)
        tables = self.tables.places(), self.refcounts.places()
        if first == 0 or not all(places.isdisjoint(clusters) for places in tables):
            desc = "a table lies there, and something else claims the place; the image is damaged"
            raise ImageError(self.name, f"cluster {first}", desc)

    @property
    def crowded(self) -> bool:
        """Whether so much is in memory that it is time to commit."""
        return self.tables.crowded or self.refcounts.crowded or self.allocator.crowded

    def commit(self) -> None:
        """Write back what is in memory alone, in the safe order."""
        self.settle()
        if not (self.tables.dirty or self.refcounts.dirty or self.allocator.has_dropped):
            return
        self._write_refcounts()
        self.tables.write_l2()
        self.store.barrier()
        self.tables.write_l1()
        self.store.barrier()
        self.allocator.free_dropped()

    def flush(self) -> None:
        """Commit, and make everything safe, so that not even a leak would be left by a crash."""
        self.commit()
        self._write_refcounts()
        self.store.barrier()

    def publish(self, **fields: Any) -> None:
        """Replace fields of the header, all at once; what they refer to must be safe already."""
        self.settle()
        header = replace(self.header, **fields)
        data = header.pack(self.name)
        self._unsettled = True
        self.store.write(0, data)
        self.store.barrier()
        self.header = header
        self._unsettled = False

    def settle(self) -> None:
        """Put the header back if replacing it failed: nobody knows which one a crash would leave.

        Until that is done nothing may be changed, since clusters that are free for the one header
        are in use for the other.
        """
        if self._unsettled:
            self.store.write(0, self.header.pack(self.name))
            self.store.barrier()
            self._unsettled = False

    def _write_refcounts(self) -> None:
        """Write the refcounts that have changed, to a new place if the table is too small."""
        while self.refcounts.rebuild_needed:
            fields, old = self.refcounts.rebuild()
            self._replaced += old
            try:
                self.publish(**fields)
            except OSError:
                self.refcounts.rebuild_needed = True
                raise
            old, self._replaced = self._replaced, []
            for first, count in old:
                self.allocator.give_back(first, count)
        self.refcounts.write_back()
        self.store.barrier()

    def grow_l1(self, entries: int) -> None:
        """Go on with a longer L1 table, written elsewhere."""
        if self.tables.dirty:
            self.commit()
        l1 = self.tables.l1 + array("Q", bytes((entries - len(self.tables.l1)) * ENTRY_BYTES))
        old = self.header.l1_offset, len(self.tables.l1) * ENTRY_BYTES
        offset = self.write_new(word_bytes(l1))
        self._write_refcounts()
        self.publish(l1_entries=entries, l1_offset=offset)
        self.tables.replace(l1, offset)
        self.give_back_bytes(*old)

    def write_new(self, data: bytes) -> int:
        """Write a table to new clusters, of which nothing is safe before a flush; its offset."""
        if not data:
            return 0
        cluster = self.allocator.take_row(self.geometry.clusters(len(data)))
        offset = cluster << self.geometry.cluster_bits
        self.store.write(offset, data)
        self.store.extend(offset + self.geometry.clusters(len(data)) * self.geometry.cluster_bytes)
        return offset

    def give_back_bytes(self, offset_bytes: int, length_bytes: int) -> None:
        """Free the clusters of a table that the header in the store does not name any more."""
        first, count = (
            offset_bytes >> self.geometry.cluster_bits,
            self.geometry.clusters(length_bytes),
        )
        if count:
            self.allocator.give_back(first, count)
