"""Dirty bitmaps: which parts of a node have been written since the bitmap was made or cleared."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cleancut_reference.arithmetic import cluster_count, cluster_span
from cleancut_reference.bitmap import packed
from cleancut_reference.errors import generic
from cleancut_spec import cites

if TYPE_CHECKING:
    from cleancut_reference.block.node import Node

WORD_BITS: Final = 64


@dataclass(slots=True, eq=False)
class DirtyBitmap:
    """A bitmap of a node; one that a job uses has a successor, which records in its stead.

    A successor has no name, and lies among the node's bitmaps.
    """

    name: str
    granularity_bytes: int
    size_bytes: int
    persistent: bool = False
    enabled: bool = True
    busy: bool = False
    inconsistent: bool = False  # it was in use when its image was opened
    read_only: bool = False  # its image cannot be changed
    successor: DirtyBitmap | None = None
    bits: bytearray = field(init=False)  # one byte a granule: 1 if it is dirty

    def __post_init__(self) -> None:
        self.bits = bytearray(cluster_count(self.size_bytes, self.granularity_bytes))

    @property
    def recording(self) -> bool:
        """Whether writes are recorded, be it by its successor."""
        return self.enabled or (self.successor is not None and self.successor.enabled)

    @property
    def dirty_bytes(self) -> int:
        """What is dirty, in whole granules."""
        return self.bits.count(1) * self.granularity_bytes

    def mark(self, offset_bytes: int, length_bytes: int) -> None:
        """A range is dirty."""
        first, end = cluster_span(offset_bytes, length_bytes, self.granularity_bytes)
        end = min(end, len(self.bits))
        self.bits[first:end] = b"\1" * (end - first)

    def merge(self, other: DirtyBitmap) -> None:
        """What is dirty in another bitmap of the same size is dirty here, too."""
        for first, end in other.runs():
            self.mark(first, min(end, self.size_bytes) - first)

    def runs(self) -> list[tuple[int, int]]:
        """The dirty ranges, each with its first byte and the one past its last."""
        found, at = [], self.bits.find(1)
        while at >= 0:
            end = self.bits.find(0, at)
            end = len(self.bits) if end < 0 else end
            found.append((at * self.granularity_bytes, end * self.granularity_bytes))
            at = self.bits.find(1, end)
        return found

    def clear(self) -> None:
        """Nothing is dirty."""
        self.bits = bytearray(len(self.bits))

    def resize(self, size_bytes: int) -> None:
        """The node has another size; what is new is clean."""
        count = cluster_count(size_bytes, self.granularity_bytes)
        self.size_bytes = size_bytes
        self.bits = self.bits[:count].ljust(count, b"\0")

    def sha256(self) -> str:
        """The digest of the bits in words of 64, the first in the lowest place, as QEMU's."""
        words = max(1, cluster_count(len(self.bits), WORD_BITS))
        return hashlib.sha256(packed(self.bits).ljust(words * 8, b"\0")).hexdigest()


@cites("BITMAP-OFF-1")
def record(node: Node, offset_bytes: int, length_bytes: int) -> None:
    """A write has ended, well or badly: the bitmaps of all nodes that it went through tell."""
    for each in node.same_bytes():
        for bitmap in each.bitmaps:
            if bitmap.enabled:
                bitmap.mark(offset_bytes, length_bytes)


@cites("BITMAP-BUSY-1")
def freeze(node: Node, bitmap: DirtyBitmap) -> None:
    """A job takes the bitmap as it is: an empty successor records from now on."""
    child = DirtyBitmap("", bitmap.granularity_bytes, bitmap.size_bytes, enabled=bitmap.enabled)
    bitmap.enabled, bitmap.busy, bitmap.successor = False, True, child
    node.bitmaps.append(child)


@cites("BITMAP-BUSY-1")
def check_usable(bitmap: DirtyBitmap) -> DirtyBitmap:
    """Refuse a bitmap that a job uses, or that is not to be trusted; raises QmpError."""
    _check_not_busy(bitmap)
    if bitmap.inconsistent:
        raise generic(f"Bitmap '{bitmap.name}' is inconsistent and cannot be used")
    return bitmap


@cites("BITMAP-BUSY-1")
def check_free(bitmap: DirtyBitmap) -> DirtyBitmap:
    """Refuse a bitmap whose bits cannot be changed; raises QmpError."""
    check_removable(bitmap)
    return check_usable(bitmap)


def check_removable(bitmap: DirtyBitmap) -> DirtyBitmap:
    """Refuse a bitmap that a job uses, or whose image is read-only; raises QmpError."""
    _check_not_busy(bitmap)
    if bitmap.read_only:
        raise generic(f"Bitmap '{bitmap.name}' is readonly and cannot be modified")
    return bitmap


def _check_not_busy(bitmap: DirtyBitmap) -> None:
    if bitmap.busy:
        what = f"Bitmap '{bitmap.name}' is currently in use by another operation"
        raise generic(f"{what} and cannot be used")


def abdicate(node: Node, bitmap: DirtyBitmap) -> DirtyBitmap:
    """What was frozen is done with: the successor takes the bitmap's place and name."""
    child = bitmap.successor
    assert child is not None, "only a frozen bitmap has a successor"
    child.name, child.persistent = bitmap.name, bitmap.persistent
    node.bitmaps.remove(bitmap)
    return child


def reclaim(node: Node, bitmap: DirtyBitmap) -> DirtyBitmap:
    """What was frozen is still needed: it gets what its successor has recorded."""
    child = bitmap.successor
    assert child is not None, "only a frozen bitmap has a successor"
    bitmap.merge(child)
    bitmap.enabled, bitmap.busy, bitmap.successor = child.enabled, False, None
    node.bitmaps.remove(child)
    return bitmap
