"""Checks an image as `qemu-img check` does, by itself: it shares no table or cache with the writer.

It counts the references to each cluster and compares them with the refcounts. A refcount that is
too large is a leak: space is lost. Everything else is a corruption: data may get lost.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from cleancut_reference.image.image import ImageError
from cleancut_reference.image.qcow2.bitmaps import read_directory
from cleancut_reference.image.qcow2.header import Header, read_header
from cleancut_reference.image.qcow2.layout import (
    COMPRESSED,
    COPIED,
    ENTRY_BYTES,
    L1_RESERVED,
    L2_RESERVED,
    MAX_L1_BYTES,
    OFFSET_MASK,
    REFCOUNT_BLOCK_MASK,
    REFCOUNT_TABLE_RESERVED,
    words,
)
from cleancut_reference.image.qcow2.refcounts import unpack_counts
from cleancut_reference.image.qcow2.snapshot_table import Record, read_table
from cleancut_reference.image.store import Store

_MOST_MESSAGES: Final = 100


@dataclass(slots=True)
class CheckResult:
    """What a check found; `messages` are the first hundred findings."""

    corruptions: int = 0
    leaks: int = 0
    messages: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.corruptions and not self.leaks

    def corruption(self, text: str) -> None:
        """Note a corruption."""
        self.corruptions += 1
        self._note(f"ERROR {text}")

    def leak(self, text: str) -> None:
        """Note a leak."""
        self.leaks += 1
        self._note(f"Leaked {text}")

    def _note(self, text: str) -> None:
        if len(self.messages) < _MOST_MESSAGES:
            self.messages.append(text)


def check(store: Store, name: str) -> CheckResult:
    """Check an image; raises ImageError if its header does not even say where its tables are."""
    header = read_header(store, name)
    references = References(store, name, header)
    references.count_all()
    references.count_refcounts()
    _compare(references)
    _check_copied(references)
    return references.result


class References:
    """How often each cluster is referred to, counted by walking the tables."""

    def __init__(self, store: Store, name: str, header: Header) -> None:
        self.store = store
        self.name = name
        self.header = header
        self.geometry = header.geometry
        self.result = CheckResult()
        self.counts: dict[int, array[int]] = {}  # by refcount block
        self.refcount_blocks: dict[int, array[int]] = {}
        self.unreadable: set[int] = set()  # refcount blocks that are not where one can be
        self.file_clusters = self.geometry.clusters(store.size_bytes)

    def get(self, cluster: int) -> int:
        """How often a cluster is referred to."""
        index, at = divmod(cluster, self.geometry.refcounts_per_block)
        counts = self.counts.get(index)
        return counts[at] if counts else 0

    def refcount(self, cluster: int) -> int | None:
        """Which refcount the image has for a cluster; None where it cannot be read."""
        index, at = divmod(cluster, self.geometry.refcounts_per_block)
        if index in self.unreadable:
            return None
        block = self.refcount_blocks.get(index)
        return block[at] if block else 0

    def add(self, offset_bytes: int, length_bytes: int) -> None:
        """Count a reference to each cluster of a range of the store."""
        if not length_bytes:
            return
        end_bytes = offset_bytes + length_bytes
        if end_bytes - self.store.size_bytes >= self.geometry.cluster_bytes:
            self.result.corruption(
                f"offset {offset_bytes:#x}: {length_bytes} bytes exceed the end of the file"
            )
            return
        for cluster in range(offset_bytes >> self.geometry.cluster_bits,
                             self.geometry.clusters(end_bytes)):  # fmt: skip
            index, at = divmod(cluster, self.geometry.refcounts_per_block)
            counts = self.counts.get(index)
            if counts is None:
                counts = self.counts[index] = array("I", [0]) * self.geometry.refcounts_per_block
            counts[at] += 1

    def count_all(self) -> None:
        """Count the references of everything but the refcounts."""
        header = self.header
        self.add(0, self.geometry.cluster_bytes)
        self._count_l1(header.l1_offset, header.l1_entries)
        try:
            records, table_bytes = read_table(self.store, self.name, header)
        except ImageError as error:
            self.result.corruption(str(error))
        else:
            for record in records:
                self._count_snapshot(record)
            self.add(header.snapshots_offset, table_bytes)
        self._count_bitmaps()

    def count_refcounts(self) -> None:
        """Count the refcount table and its blocks, and keep these."""
        header = self.header
        table_bytes = header.refcount_table_clusters * self.geometry.cluster_bytes
        self.add(header.refcount_table_offset, table_bytes)
        for index, entry in enumerate(
            words(self.store.read(header.refcount_table_offset, table_bytes))
        ):
            offset = entry & REFCOUNT_BLOCK_MASK
            aligned = not offset % self.geometry.cluster_bytes
            within = offset < self.file_clusters * self.geometry.cluster_bytes
            if offset and not aligned:
                self.unreadable.add(index)
            elif offset and within:
                self._keep_block(index, offset)
            if entry & REFCOUNT_TABLE_RESERVED:
                self.result.corruption(f"refcount table entry {index}: reserved bits are set")
            elif not aligned:
                self.result.corruption(f"refcount block {index} is not cluster aligned")
            elif not within:
                self.result.corruption(f"refcount block {index} is outside the image")
            elif offset:
                self._count_block(index, offset)

    def _keep_block(self, index: int, offset_bytes: int) -> None:
        data = self.store.read(offset_bytes, self.geometry.cluster_bytes)
        self.refcount_blocks[index] = unpack_counts(data, self.geometry.refcount_order)

    def _count_block(self, index: int, offset_bytes: int) -> None:
        self.add(offset_bytes, self.geometry.cluster_bytes)
        if self.get(offset_bytes >> self.geometry.cluster_bits) != 1:
            self.result.corruption(f"refcount block {index} is referred to more than once")

    def l2_table(self, offset_bytes: int) -> array[int]:
        """The entries of an L2 table."""
        return words(self.store.read(offset_bytes, self.geometry.cluster_bytes))

    def _count_snapshot(self, record: Record) -> None:
        if not record.complete:
            self.result.corruption(f"snapshot '{record.snapshot.id}': its entry is incomplete")
        offset, length = record.l1_offset, record.l1_entries * ENTRY_BYTES
        if offset % self.geometry.cluster_bytes or length > MAX_L1_BYTES:
            self.result.corruption(f"snapshot '{record.snapshot.id}': {offset:#x} is no L1 table")
        else:
            self._count_l1(offset, record.l1_entries)

    def _count_l1(self, offset_bytes: int, entries: int) -> None:
        length = entries * ENTRY_BYTES
        self.add(offset_bytes, length)
        walked = set()
        for index, entry in enumerate(words(self.store.read(offset_bytes, length))):
            if not entry & OFFSET_MASK:
                continue
            if entry & OFFSET_MASK in walked:  # and once is enough, or it might take for ever
                self.result.corruption(f"L1 entry {index}: its L2 table belongs to another, too")
                continue
            walked.add(entry & OFFSET_MASK)
            if entry & L1_RESERVED:
                self.result.corruption(f"L1 entry {index}: reserved bits are set")
            offset = entry & OFFSET_MASK
            self.add(offset, self.geometry.cluster_bytes)
            if offset % self.geometry.cluster_bytes:
                self.result.corruption(f"L1 entry {index}: L2 table is not cluster aligned")
            self._count_l2(offset)

    def _count_l2(self, offset_bytes: int) -> None:
        cluster_bytes = self.geometry.cluster_bytes
        for at, entry in enumerate(self.l2_table(offset_bytes)):
            if not entry:
                continue
            if entry & COMPRESSED:
                if entry & COPIED:
                    self.result.corruption(
                        f"L2 entry {at}: a compressed cluster has the copied flag"
                    )
                self.add(*self.geometry.compressed_span(entry))
                continue
            if entry & L2_RESERVED:
                self.result.corruption(f"L2 entry {at}: reserved bits are set")
            offset = entry & OFFSET_MASK
            if offset:
                self.add(offset, cluster_bytes)
                if offset % cluster_bytes:
                    self.result.corruption(f"L2 entry {at}: {offset:#x} is not cluster aligned")

    def _count_bitmaps(self) -> None:
        try:
            entries = read_directory(self.store, self.name, self.header)
        except ImageError as error:
            self.result.corruption(str(error))
            entries = []
        if not entries or self.header.bitmaps is None:
            return
        self.add(self.header.bitmaps.offset_bytes, self.header.bitmaps.size_bytes)
        for entry in entries:
            length = entry.table_entries * ENTRY_BYTES
            self.add(entry.table_offset, length)
            for place in words(self.store.read(entry.table_offset, length)):
                if place & OFFSET_MASK:
                    self.add(place & OFFSET_MASK, self.geometry.cluster_bytes)


def _compare(references: References) -> None:
    """Compare the references with the refcounts."""
    per_block, result = references.geometry.refcounts_per_block, references.result
    none = array("I", [0]) * per_block
    for index in sorted(
        references.counts.keys() | references.refcount_blocks.keys() | references.unreadable
    ):
        counted = references.counts.get(index, none)
        stored = references.refcount_blocks.get(index, none)
        if index in references.unreadable:
            clusters = min(per_block, references.file_clusters - index * per_block)
            for cluster in range(index * per_block, index * per_block + clusters):
                result.corruption(f"cluster {cluster}: its refcount cannot be read")
            continue
        if counted == stored:
            continue
        for at, (count, refcount) in enumerate(zip(counted, stored, strict=True)):
            cluster = index * per_block + at
            if count == refcount or (cluster >= references.file_clusters and not count):
                continue
            text = f"cluster {cluster} refcount={refcount} reference={count}"
            if refcount > count:
                result.leak(text)
            else:
                result.corruption(text)


def _check_copied(references: References) -> None:
    """The copied flags of the active disk: set exactly where the refcount is 1."""
    bits = references.geometry.cluster_bits
    for kind, entry in _active_entries(references):
        refcount = references.refcount((entry & OFFSET_MASK) >> bits)
        if refcount is not None and (refcount == 1) != bool(entry & COPIED):
            references.result.corruption(f"copied flag of {kind} {entry:#x} refcount={refcount}")


def _active_entries(references: References) -> Iterator[tuple[str, int]]:
    """The entries of the active L1 table and its L2 tables that refer to whole clusters."""
    header, walked = references.header, set()
    for entry in words(references.store.read(header.l1_offset, header.l1_entries * ENTRY_BYTES)):
        offset = entry & OFFSET_MASK
        if not offset or offset in walked:
            continue
        walked.add(offset)
        yield "L2 table", entry
        for place in references.l2_table(offset):
            if place & OFFSET_MASK and not place & COMPRESSED:
                yield "cluster", place
