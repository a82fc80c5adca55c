"""The refcounts: how often each cluster of the store is referred to."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterator
from typing import Final

from cleancut_reference.image.image import ImageError
from cleancut_reference.image.qcow2.header import Header
from cleancut_reference.image.qcow2.layout import (
    CACHE_BYTES,
    ENTRY_BYTES,
    MAX_REFCOUNT_TABLE_BYTES,
    REFCOUNT_BLOCK_MASK,
    Geometry,
    word_bytes,
    words,
)
from cleancut_reference.image.qcow2.ordered_store import OrderedStore

_TYPE_OF_ORDER: Final = "BBBBHIQ"  # the array type of a refcount that is 2^order bits wide


class Block:
    """A refcount block; FLOATING while it has no place in the store."""

    __slots__ = ("counts", "end_dirty", "first_dirty", "offset_bytes")
    FLOATING: Final = 0

    def __init__(self, counts: array[int], offset_bytes: int) -> None:
        self.counts = counts
        self.offset_bytes = offset_bytes
        self.first_dirty = self.end_dirty = 0

    def mark(self, first: int, end: int) -> None:
        """Note that counts have changed."""
        dirty = self.end_dirty > 0
        self.first_dirty = min(self.first_dirty, first) if dirty else first
        self.end_dirty = max(self.end_dirty, end)


def unpack_counts(data: bytes, order: int) -> array[int]:
    """The refcounts in a block; those narrower than a byte begin at its lowest bit."""
    if order < 3:
        width = 1 << order
        mask, shifts = (1 << width) - 1, range(0, 8, width)
        of_byte = [bytes(byte >> shift & mask for shift in shifts) for byte in range(256)]
        return array("B", b"".join(map(of_byte.__getitem__, data)))
    counts = array(_TYPE_OF_ORDER[order], data)
    if sys.byteorder == "little":
        counts.byteswap()
    return counts


def pack_counts(counts: array[int], order: int) -> bytes:
    """Refcounts as they are stored."""
    if order >= 3:
        return word_bytes(counts)
    width, per_byte = 1 << order, 8 >> order
    packed = bytearray(len(counts) // per_byte)
    for place in range(per_byte):
        for at, count in enumerate(counts[place::per_byte]):
            packed[at] |= count << place * width
    return bytes(packed)


class Refcounts:
    """The refcount table and its blocks; changes stay in memory until they are written back.

    A block for clusters that had none lies in the first of them, so that it counts itself: whatever
    part of the table is written before a crash, no block is in use with a refcount of zero. What
    cannot be done so (the table grows, many clusters at once) is done by `rebuild`.
    """

    def __init__(self, store: OrderedStore, name: str, header: Header) -> None:
        self._store = store
        self._name = name
        self.geometry: Geometry = header.geometry
        self._per_block = self.geometry.refcounts_per_block
        self._cache_limit = max(4, CACHE_BYTES >> self.geometry.cluster_bits)
        self._blocks: dict[int, Block] = {}
        self._new_entries: set[int] = set()
        self._places: set[int] = set()  # of the table and of its blocks, once asked for
        self.rebuild_needed = not header.refcount_table_clusters
        self._table_offset = header.refcount_table_offset
        table_bytes = header.refcount_table_clusters * self.geometry.cluster_bytes
        self._table = words(store.read(self._table_offset, table_bytes))

    @property
    def dirty(self) -> bool:
        """Whether something is in memory alone."""
        return self.rebuild_needed or any(block.end_dirty for block in self._blocks.values())

    @property
    def crowded(self) -> bool:
        """Whether so much is in memory that it is time to write it back."""
        return len(self._blocks) > 2 * self._cache_limit

    def get(self, cluster: int) -> int:
        """The refcount of a cluster."""
        index, at = divmod(cluster, self._per_block)
        block = self._block(index)
        return block.counts[at] if block else 0

    def places(self) -> set[int]:
        """The clusters that the table and its blocks lie in."""
        if not self._places:
            bits = self.geometry.cluster_bits
            first = self._table_offset >> bits
            self._places.update(range(first, first + self._table_clusters(self._table)))
            self._places.update(entry >> bits for entry in self._table if entry)
        return self._places

    def next_free(self, start: int) -> int:
        """The first cluster from start on whose refcount is zero."""
        while True:
            index, at = divmod(start, self._per_block)
            block = self._block(index)
            if block is None:
                return start
            try:
                return index * self._per_block + block.counts.index(0, at)
            except ValueError:
                start = (index + 1) * self._per_block

    def free_run(self, first: int, wanted: int) -> int:
        """How many clusters from a free one on are free, as far as its block goes."""
        index, at = divmod(first, self._per_block)
        wanted = min(wanted, self._per_block - at)
        block = self._block(index)
        if block is None:
            return wanted
        counts = block.counts
        run = 1
        while run < wanted and not counts[at + run]:
            run += 1
        return run

    def cover(self, cluster: int, guard: Callable[[int, int], None]) -> bool:
        """Make a block for a cluster that has none; whether that took the cluster itself."""
        index, at = divmod(cluster, self._per_block)
        if self._block(index):
            return False
        first = index * self._per_block
        if index >= len(self._table):
            self._new_block(index)
            self.rebuild_needed = True
            return False
        guard(first, 1)
        block = self._new_block(index)
        block.offset_bytes = first << self.geometry.cluster_bits
        block.counts[0] = 1
        block.mark(0, self._per_block)
        self._table[index] = block.offset_bytes
        self._new_entries.add(index)
        self._places.clear()
        return at == 0

    def add(self, first: int, count: int, delta: int) -> None:
        """Change the refcounts of some clusters; raises ImageError if one leaves its bounds."""
        highest = self.geometry.refcount_max
        while count:
            index, at = divmod(first, self._per_block)
            run = min(count, self._per_block - at)
            block = self._block(index)
            if block is None:
                block = self._new_block(index)
                self.rebuild_needed = True
            for place in range(at, at + run):
                new = block.counts[place] + delta
                if not 0 <= new <= highest:
                    cluster = index * self._per_block + place
                    desc = (
                        f"it would become {new}; the image is damaged or its refcounts too narrow"
                    )
                    raise ImageError(self._name, f"refcount of cluster {cluster}", desc)
                block.counts[place] = new
            block.mark(at, at + run)
            first, count = first + run, count - run

    def end(self) -> int:
        """The first cluster after the end of the store and after all that are in use."""
        end = self.geometry.clusters(self._store.size_bytes)
        for index in sorted(self._indexes(), reverse=True):
            if (index + 1) * self._per_block <= end:
                break
            block = self._block(index)
            if block and any(block.counts):
                used = max(at for at, count in enumerate(block.counts) if count)
                return max(end, index * self._per_block + used + 1)
        return end

    def write_back(self) -> None:
        """Write what has changed; each step is safe before the next begins."""
        self._write_blocks()
        self._store.barrier()
        if self._new_entries:
            first, end = min(self._new_entries), max(self._new_entries) + 1
            data = word_bytes(self._table[first:end])
            self._store.write(self._table_offset + first * ENTRY_BYTES, data)
            self._store.barrier()
            self._new_entries.clear()
        self._evict()

    def rebuild(self) -> tuple[dict[str, int], list[tuple[int, int]]]:
        """Write all refcounts to a new place past the end, for a header that will name it.

        Returns the fields of that header, and the clusters of the old table and blocks, which are
        still counted: they are free as soon as the header is safe.
        """
        geometry, per_block = self.geometry, self._per_block
        old = [(self._table_offset >> geometry.cluster_bits, self._table_clusters(self._table))]
        indexes = set()
        for index in self._indexes():
            block = self._block(index)
            if block and block.offset_bytes:
                old.append((block.offset_bytes >> geometry.cluster_bits, 1))
            if block and any(block.counts):
                indexes.add(index)
        first = self.end()
        table, total = array("Q"), 0
        while total != self._table_clusters(table) + len(indexes):
            total = self._table_clusters(table) + len(indexes)
            indexes.update(range(first // per_block, (first + total - 1) // per_block + 1))
            table = array("Q", bytes(self._table_bytes(max(indexes) + 1)))
        self.add(first, total, 1)
        try:
            self._write_structure(table, first, sorted(indexes))
        except OSError:
            self.add(first, total, -1)
            raise
        fields = {
            "refcount_table_offset": self._table_offset,
            "refcount_table_clusters": self._table_clusters(table),
        }
        return fields, [run for run in old if run[1]]

    def _write_structure(self, table: array[int], first: int, indexes: list[int]) -> None:
        """Write a table and its blocks one after the other, and use them from now on."""
        order, cluster_bits = self.geometry.refcount_order, self.geometry.cluster_bits
        place = first + self._table_clusters(table)
        for at, index in enumerate(indexes, place):
            block = self._block(index)
            assert block is not None
            table[index] = at << cluster_bits
            self._store.write(table[index], pack_counts(block.counts, order))
        self._store.write(first << cluster_bits, word_bytes(table))
        self._store.barrier()
        self._table, self._table_offset = table, first << cluster_bits
        self._blocks = {index: self._blocks[index] for index in indexes if index in self._blocks}
        for index, block in self._blocks.items():
            block.offset_bytes = table[index]
            block.first_dirty = block.end_dirty = 0
        self._new_entries.clear()
        self._places.clear()
        self.rebuild_needed = False

    def _indexes(self) -> Iterator[int]:
        """The indexes of all blocks."""
        yield from (at for at, entry in enumerate(self._table) if entry)
        yield from (at for at, block in list(self._blocks.items()) if not block.offset_bytes)

    def _table_clusters(self, table: array[int]) -> int:
        return self.geometry.clusters(len(table) * ENTRY_BYTES)

    def _table_bytes(self, entries: int) -> int:
        """The size of a table with room to grow."""
        cluster_bytes = self.geometry.cluster_bytes
        roomy = self.geometry.clusters((entries + entries // 2) * ENTRY_BYTES) * cluster_bytes
        least = self.geometry.clusters(entries * ENTRY_BYTES) * cluster_bytes
        if least > MAX_REFCOUNT_TABLE_BYTES:
            raise ImageError(self._name, "refcount table", "the image file would become too large")
        return min(roomy, MAX_REFCOUNT_TABLE_BYTES)

    def _block(self, index: int) -> Block | None:
        block = self._blocks.get(index)
        if block is None and index < len(self._table) and self._table[index]:
            block = self._load(index)
        return block

    def _load(self, index: int) -> Block:
        offset = self._table[index] & REFCOUNT_BLOCK_MASK
        cluster_bytes = self.geometry.cluster_bytes
        if offset % cluster_bytes or not offset or offset >= self._store.size_bytes:
            desc = f"{offset:#x} is no place of a refcount block"
            raise ImageError(self._name, f"refcount table entry {index}", desc)
        if len(self._blocks) > self._cache_limit:
            self._evict()
        data = self._store.read(offset, cluster_bytes)
        block = Block(unpack_counts(data, self.geometry.refcount_order), offset)
        self._blocks[index] = block
        return block

    def _new_block(self, index: int) -> Block:
        kind = _TYPE_OF_ORDER[self.geometry.refcount_order]
        block = Block(array(kind, [0]) * self._per_block, Block.FLOATING)
        self._blocks[index] = block
        return block

    def _write_blocks(self) -> None:
        order = self.geometry.refcount_order
        for block in self._blocks.values():
            if not block.end_dirty:
                continue
            first, end = (0, self._per_block) if order < 3 else (block.first_dirty, block.end_dirty)
            data = pack_counts(block.counts[first:end], order)
            self._store.write(block.offset_bytes + (first << order >> 3), data)
            block.first_dirty = block.end_dirty = 0

    def _evict(self) -> None:
        """Forget the blocks that were loaded first, but none that has changed."""
        surplus = len(self._blocks) - self._cache_limit // 2
        if surplus <= 0:
            return
        clean = (at for at, block in self._blocks.items() if not block.end_dirty)
        for index in [at for at, _ in zip(clean, range(surplus), strict=False)]:
            del self._blocks[index]
