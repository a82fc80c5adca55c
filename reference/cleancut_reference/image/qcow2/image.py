"""A qcow2 image as the block layer sees it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from cleancut_reference.image.image import (
    Bitmap,
    Extent,
    Image,
    ImageError,
    Snapshot,
    check_range,
)
from cleancut_reference.image.qcow2 import bitmaps, snapshots
from cleancut_reference.image.qcow2.clusters import Clusters
from cleancut_reference.image.qcow2.header import (
    BITMAPS_VALID,
    Header,
)
from cleancut_reference.image.qcow2.layout import (
    ENTRY_BYTES,
    MAX_L1_BYTES,
    Geometry,
)
from cleancut_reference.image.qcow2.metadata import Metadata
from cleancut_reference.image.store import Data, is_zero


def check_size(name: str, geometry: Geometry, size_bytes: int) -> None:
    """Refuse a size of a disk that no L1 table can map."""
    if size_bytes < 0 or geometry.l1_entries(size_bytes) * ENTRY_BYTES > MAX_L1_BYTES:
        desc = "Failed to grow the L1 table: File too large"
        raise ImageError(name, "size", desc)


class Qcow2Image:
    """An open image. What is written is safe after `flush`, not before."""

    format: Final = "qcow2"

    def __init__(self, metadata: Metadata, backing: Image | None, writable: bool) -> None:
        self.name = metadata.name
        self.writable = writable
        self._metadata = metadata
        self._clusters = Clusters(metadata, backing)
        self._snapshots = snapshots.read_snapshots(metadata)
        self._bitmaps_stored = True  # their bits are those of the data

    @property
    def header(self) -> Header:
        """The header as it is in the store."""
        return self._metadata.header

    @property
    def backing(self) -> Image | None:
        """The image that shows through where this one holds nothing."""
        return self._clusters.backing

    def set_backing(self, backing: Image | None) -> None:
        """Let another image show through from now on; the header stays as it is."""
        self._clusters.backing = backing

    @property
    def size_bytes(self) -> int:
        """The size that the guest sees."""
        return self._metadata.header.size_bytes

    @property
    def cluster_bytes(self) -> int:
        """The size of a cluster."""
        return self._metadata.geometry.cluster_bytes

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """The bytes of a range; where the image has none, those of its backing image, or zeros."""
        check_range(self, offset_bytes, length_bytes)
        return self._clusters.read(offset_bytes, length_bytes)

    def write(self, offset_bytes: int, data: Data) -> None:
        """Replace the bytes of a range."""
        check_range(self, offset_bytes, memoryview(data).nbytes)
        self._begin_change()
        self._clusters.write(offset_bytes, data)

    def write_compressed(self, offset_bytes: int, data: Data) -> None:
        """Replace whole clusters (the last one may end with the disk), compressed if that helps."""
        view = memoryview(data).cast("B")
        check_range(self, offset_bytes, len(view))
        end_bytes = offset_bytes + len(view)
        if offset_bytes % self.cluster_bytes or (
            end_bytes % self.cluster_bytes and end_bytes != self.size_bytes
        ):
            desc = f"a compressed write consists of whole clusters of {self.cluster_bytes} bytes"
            raise ImageError(self.name, "range", desc)
        self._begin_change()
        for at in range(0, len(view), self.cluster_bytes):
            piece = view[at : at + self.cluster_bytes]
            whole = bytes(piece).ljust(self.cluster_bytes, b"\0")
            cluster = (offset_bytes + at) // self.cluster_bytes
            if is_zero(whole):  # a zero cluster takes no space at all
                self._clusters.zero(cluster, cluster + 1, keep_space=False)
            elif not self._clusters.write_compressed(cluster, whole):
                self._clusters.write(offset_bytes + at, piece)

    def write_zeroes(self, offset_bytes: int, length_bytes: int, unmap: bool = False) -> None:
        """Make a range read as zeros, whole clusters without writing them."""
        check_range(self, offset_bytes, length_bytes)
        self._begin_change()
        end_bytes = offset_bytes + length_bytes
        first, end = self._whole_clusters(offset_bytes, end_bytes)
        if first >= end:
            self._zero_part(offset_bytes, end_bytes)
            return
        self._zero_part(offset_bytes, first * self.cluster_bytes)
        self._clusters.zero(first, end, keep_space=not unmap)
        self._zero_part(min(end * self.cluster_bytes, end_bytes), end_bytes)

    def discard(self, offset_bytes: int, length_bytes: int) -> None:
        """Give back the space of the clusters that lie wholly in a range; they read as zeros."""
        check_range(self, offset_bytes, length_bytes)
        self._begin_change()
        self._clusters.discard(*self._whole_clusters(offset_bytes, offset_bytes + length_bytes))

    def flush(self) -> None:
        """Return when everything written so far is safe from a crash."""
        if self.writable:
            self._metadata.flush()

    def block_status(self, offset_bytes: int, length_bytes: int) -> Iterator[Extent]:
        """The parts of a range in order, as this image alone knows them."""
        check_range(self, offset_bytes, length_bytes)
        return self._clusters.extents(offset_bytes, length_bytes)

    def resize(self, size_bytes: int) -> None:
        """Change the size that the guest sees; new space reads as zeros."""
        check_size(self.name, self._metadata.geometry, size_bytes)
        self._begin_change()
        if size_bytes < self.size_bytes:
            self._shrink(size_bytes)
        elif size_bytes > self.size_bytes:
            self._grow(size_bytes)

    def close(self) -> None:
        """Write what is still in memory and let the store go."""
        try:
            self.flush()
        finally:
            self._metadata.store.store.close()

    def snapshots(self) -> tuple[Snapshot, ...]:
        """The internal snapshots, oldest first."""
        return tuple(record.snapshot for record in self._snapshots)

    def create_snapshot(
        self,
        name: str,
        date_seconds: int = 0,
        date_nanoseconds: int = 0,
        vm_clock_nanoseconds: int = 0,
    ) -> Snapshot:
        """Keep the content of now under a name; all or nothing, whenever the power fails."""
        self._begin_change(data=False)
        snapshot = Snapshot(
            id=snapshots.next_id(self.snapshots()),
            name=name,
            size_bytes=self.size_bytes,
            vm_state_bytes=0,
            date_seconds=date_seconds,
            date_nanoseconds=date_nanoseconds,
            vm_clock_nanoseconds=vm_clock_nanoseconds,
        )
        self._snapshots = snapshots.create(self._metadata, self._snapshots, snapshot)
        return snapshot

    def delete_snapshot(self, snapshot_id: str) -> None:
        """Remove a snapshot by its id; all or nothing, whenever the power fails."""
        self._begin_change(data=False)
        self._snapshots = snapshots.delete(self._metadata, self._snapshots, snapshot_id)

    def at_snapshot(self, snapshot_id: str) -> Qcow2Image:
        """The disk as a snapshot keeps it, for reading, while the snapshot exists; not closed."""
        record = snapshots.find(self._metadata, self._snapshots, snapshot_id)
        self.flush()
        header = replace(
            self.header,
            size_bytes=record.snapshot.size_bytes,
            l1_offset=record.l1_offset,
            l1_entries=record.l1_entries,
        )
        view = Metadata(self._metadata.store, self.name, header)
        return Qcow2Image(view, self.backing, writable=False)

    def bitmaps(self) -> tuple[Bitmap, ...]:
        """The persistent dirty bitmaps."""
        return bitmaps.read_bitmaps(self._metadata)

    def use_bitmaps(self) -> None:
        """Say in the image that its bitmaps are in use: the bits that it has are those of now."""
        self._begin_change()

    def store_bitmaps(self, found: tuple[Bitmap, ...]) -> None:
        """Replace all bitmaps; all or nothing, whenever the power fails."""
        self._begin_change(data=False)
        bitmaps.store_bitmaps(self._metadata, found)
        self._bitmaps_stored = True

    def _begin_change(self, data: bool = True) -> None:
        """Refuse a change of a read-only image; let bitmaps not be trusted once data changes."""
        if not self.writable:
            raise ImageError(self.name, "access", "the image is open for reading only")
        self._metadata.settle()
        if self._metadata.header.autoclear & ~BITMAPS_VALID:
            self._metadata.publish(autoclear=self._metadata.header.autoclear & BITMAPS_VALID)
        if data and self._bitmaps_stored:
            bitmaps.mark_in_use(self._metadata)
            self._bitmaps_stored = False

    def _whole_clusters(self, offset_bytes: int, end_bytes: int) -> tuple[int, int]:
        """The clusters that lie wholly in a range; the last one of the disk may be cut short."""
        first = self._metadata.geometry.clusters(offset_bytes)
        if end_bytes == self.size_bytes:
            return first, self._metadata.geometry.clusters(end_bytes)
        return first, end_bytes // self.cluster_bytes

    def _zero_part(self, offset_bytes: int, end_bytes: int) -> None:
        """Write zeros to a part of a cluster, unless it reads as zeros already."""
        length = end_bytes - offset_bytes
        if length > 0 and any(self.read(offset_bytes, length)):
            self._clusters.write(offset_bytes, bytes(length))

    def _shrink(self, size_bytes: int) -> None:
        geometry = self._metadata.geometry
        first, end = geometry.clusters(size_bytes), geometry.clusters(self.size_bytes)
        self._clusters.cut_off(first, end)
        self._metadata.commit()
        self._metadata.publish(size_bytes=size_bytes)

    def _grow(self, size_bytes: int) -> None:
        metadata = self._metadata
        l1_entries = metadata.geometry.l1_entries(size_bytes)
        old_bytes = self.size_bytes
        if l1_entries > len(metadata.tables.l1):
            metadata.grow_l1(l1_entries)
        end_of_cluster = metadata.geometry.clusters(old_bytes) * self.cluster_bytes
        visible_bytes = self.backing.size_bytes if self.backing else 0
        self._zero_past_end(old_bytes, min(end_of_cluster, size_bytes))
        if visible_bytes > end_of_cluster:
            end = metadata.geometry.clusters(min(visible_bytes, size_bytes))
            self._clusters.zero(end_of_cluster // self.cluster_bytes, end, keep_space=False)
        metadata.commit()
        metadata.publish(size_bytes=size_bytes)

    def _zero_past_end(self, start_bytes: int, end_bytes: int) -> None:
        """Zeros in what follows the end of the disk within its last cluster."""
        if start_bytes < end_bytes and any(
            self._clusters.read(start_bytes, end_bytes - start_bytes)
        ):
            self._clusters.write(start_bytes, bytes(end_bytes - start_bytes))
