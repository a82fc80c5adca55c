"""The numbers of the format: bits of table entries, limits, what the cluster size gives."""

from __future__ import annotations

import sys
from array import array
from dataclasses import dataclass
from typing import Final

MAGIC: Final = b"QFI\xfb"
VERSION: Final = 3

#: Bits of an L1 or L2 entry.
COPIED: Final = 1 << 63  # the only reference: refcount is exactly 1, so it may be written in place
COMPRESSED: Final = 1 << 62
ZERO: Final = 1
OFFSET_MASK: Final = 0x00FFFFFFFFFFFE00
L1_RESERVED: Final = 0x7F000000000001FF
L2_RESERVED: Final = 0x3F000000000001FE
#: Bits of an entry of the refcount table.
REFCOUNT_TABLE_RESERVED: Final = 0x1FF
REFCOUNT_BLOCK_MASK: Final = 0xFFFFFFFFFFFFFE00

SECTOR_BYTES: Final = 512
ENTRY_BYTES: Final = 8

#: What QEMU takes; an image beyond a limit is refused: a damaged one cannot take all memory.
CLUSTER_BITS: Final = range(9, 22)
REFCOUNT_ORDERS: Final = range(7)
MAX_L1_BYTES: Final = 32 << 20
MAX_REFCOUNT_TABLE_BYTES: Final = 8 << 20
MAX_SNAPSHOTS: Final = 65536
MAX_SNAPSHOT_TABLE_BYTES: Final = 64 << 20
MAX_BACKING_NAME_BYTES: Final = 1023

#: How much metadata is kept in memory.
CACHE_BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class Geometry:
    """The sizes that follow from two fields of the header."""

    cluster_bits: int
    refcount_order: int

    @property
    def cluster_bytes(self) -> int:
        """Bytes of a cluster."""
        return 1 << self.cluster_bits

    @property
    def l2_entries(self) -> int:
        """Entries of an L2 table, which fills a cluster."""
        return self.cluster_bytes // ENTRY_BYTES

    @property
    def l2_covers_bytes(self) -> int:
        """Bytes of the guest's disk that one L2 table maps."""
        return self.l2_entries * self.cluster_bytes

    @property
    def refcounts_per_block(self) -> int:
        """Refcounts in a refcount block, which fills a cluster."""
        return self.cluster_bytes * 8 >> self.refcount_order

    @property
    def refcount_max(self) -> int:
        """The largest refcount that fits."""
        return int((1 << (1 << self.refcount_order)) - 1)

    def clusters(self, length_bytes: int) -> int:
        """How many clusters hold so many bytes."""
        return -(-length_bytes >> self.cluster_bits)

    def l1_entries(self, size_bytes: int) -> int:
        """How many L2 tables map a disk of a size."""
        return -(-size_bytes // self.l2_covers_bytes)

    @property
    def _sector_shift(self) -> int:
        return 62 - (self.cluster_bits - 8)

    def compressed_span(self, entry: int) -> tuple[int, int]:
        """Where the data of a compressed cluster lies: offset, length to its last sector."""
        shift = self._sector_shift
        offset = entry & ((1 << shift) - 1)
        sectors = ((entry & ~(COPIED | COMPRESSED)) >> shift) + 1
        return offset, sectors * SECTOR_BYTES - offset % SECTOR_BYTES

    def compressed_entry(self, offset_bytes: int, length_bytes: int) -> int:
        """The L2 entry of a compressed cluster."""
        last = (offset_bytes + length_bytes - 1) // SECTOR_BYTES
        more_sectors = last - offset_bytes // SECTOR_BYTES
        return COMPRESSED | more_sectors << self._sector_shift | offset_bytes

    def host_clusters(self, entry: int) -> tuple[int, int]:
        """The clusters of the store that an L2 entry refers to: the first, and how many."""
        if entry & COMPRESSED:
            offset, length = self.compressed_span(entry)
            first = offset >> self.cluster_bits
            return first, (offset + length - 1 >> self.cluster_bits) - first + 1
        return (entry & OFFSET_MASK) >> self.cluster_bits, 1 if entry & OFFSET_MASK else 0


def words(data: bytes) -> array[int]:
    """The 64-bit big-endian numbers in some bytes."""
    found = array("Q", data)
    if sys.byteorder == "little":
        found.byteswap()
    return found


def word_bytes(numbers: array[int]) -> bytes:
    """Numbers as they are stored: big-endian, each as wide as the array's type."""
    if sys.byteorder == "little":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()
