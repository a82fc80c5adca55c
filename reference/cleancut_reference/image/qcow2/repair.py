"""Counts the refcounts anew in an image that is marked dirty: lazy refcounts, after a crash."""

from __future__ import annotations

from array import array
from dataclasses import replace

from cleancut_reference.image.image import ImageError
from cleancut_reference.image.qcow2.check import References
from cleancut_reference.image.qcow2.header import Header, Incompatible
from cleancut_reference.image.qcow2.layout import (
    COMPRESSED,
    COPIED,
    ENTRY_BYTES,
    OFFSET_MASK,
    word_bytes,
    words,
)
from cleancut_reference.image.qcow2.metadata import Metadata
from cleancut_reference.image.qcow2.ordered_store import OrderedStore


def repair(store: OrderedStore, name: str, header: Header) -> Header:
    """Write refcounts that are right to a new place; returns the header, no longer dirty.

    Until its last write the image stays dirty, so that a crash only means to begin again.
    """
    references = References(store.store, name, header)
    references.count_all()
    if references.result.corruptions:
        desc = f"the image is dirty and damaged: {references.result.messages[0]}"
        raise ImageError(name, "incompatible_features", desc)
    _set_copied(store, header, references)
    metadata = Metadata(store, name, replace(header, refcount_table_clusters=0))
    per_block = header.geometry.refcounts_per_block
    for index, counts in references.counts.items():
        for at, count in enumerate(counts):
            if count:
                metadata.refcounts.add(index * per_block + at, 1, count)
    fields, _ = metadata.refcounts.rebuild()
    metadata.publish(**fields, incompatible=header.incompatible & ~Incompatible.DIRTY)
    return metadata.header


def _set_copied(store: OrderedStore, header: Header, references: References) -> None:
    """Set the copied flags of the active disk where there is one reference, and only there."""
    l1 = words(store.read(header.l1_offset, header.l1_entries * ENTRY_BYTES))
    for index, entry in enumerate(l1):
        if not entry & OFFSET_MASK:
            continue
        l1[index] = _flagged(entry, references)
        entries = references.l2_table(entry & OFFSET_MASK)
        flagged = array("Q", [_flagged(each, references) for each in entries])
        if flagged != entries:
            store.write(entry & OFFSET_MASK, word_bytes(flagged))
    store.write(header.l1_offset, word_bytes(l1))
    store.barrier()


def _flagged(entry: int, references: References) -> int:
    offset = entry & OFFSET_MASK
    if entry & COMPRESSED or not offset:
        return entry
    alone = references.get(offset >> references.geometry.cluster_bits) == 1
    return entry | COPIED if alone else entry & ~COPIED
