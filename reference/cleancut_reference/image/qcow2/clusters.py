"""Reading and changing the clusters of the active disk."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Final

from cleancut_reference.image.image import Extent, Image, ImageError, Status
from cleancut_reference.image.qcow2.compression import compress, read_compressed
from cleancut_reference.image.qcow2.layout import COMPRESSED, COPIED, OFFSET_MASK, ZERO
from cleancut_reference.image.qcow2.metadata import Metadata
from cleancut_reference.image.qcow2.runs import Run, runs
from cleancut_reference.image.store import Data

_LARGEST_WRITE_BYTES: Final = 16 << 20


class Clusters:
    """The guest's disk as clusters, each absent, zero, data or compressed."""

    def __init__(self, metadata: Metadata, backing: Image | None) -> None:
        self._metadata = metadata
        self._geometry = metadata.geometry
        self._cluster_bytes = metadata.geometry.cluster_bytes
        self.backing = backing
        self._unpacked: tuple[int, bytes] | None = None  # the compressed cluster that was read last

    def extents(self, offset_bytes: int, length_bytes: int) -> Iterator[Extent]:
        """The parts of a range, as long as they are alike and lie in a row."""
        last: Extent | None = None
        for run, start, end in self._cut(offset_bytes, offset_bytes + length_bytes):
            host = None
            if run.status is not Status.COMPRESSED and run.host_offset:
                host = run.host_offset + start - run.first * self._cluster_bytes
            if last and last.status is run.status and _follows(last, host):
                merged = end - last.offset_bytes
                last = Extent(last.offset_bytes, merged, run.status, last.host_offset_bytes)
                continue
            if last:
                yield last
            last = Extent(start, end - start, run.status, host)
        if last:
            yield last

    def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """The bytes of a range."""
        pieces = []
        for run, start, end in self._cut(offset_bytes, offset_bytes + length_bytes):
            skip = start - run.first * self._cluster_bytes
            if run.status is Status.DATA:
                piece = self._metadata.store.read(run.host_offset + skip, end - start)
            elif run.status is Status.COMPRESSED:
                piece = self._unpack(run.entry)[skip : skip + end - start]
            elif run.status is Status.ABSENT and self.backing:
                piece = _read_to_end(self.backing, start, end - start)
            else:
                piece = bytes(end - start)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def write(self, offset_bytes: int, data: Data) -> None:
        """Replace the bytes of a range."""
        view = memoryview(data).cast("B")
        while view:
            piece = view[:_LARGEST_WRITE_BYTES]
            self._commit_if_crowded()
            self._write(offset_bytes, piece)
            offset_bytes, view = offset_bytes + len(piece), view[len(piece) :]

    def write_compressed(self, cluster: int, data: bytes) -> bool:
        """Replace one whole cluster by compressed data; False if that would save no space."""
        packed = compress(data)
        if packed is None:
            return False
        self._commit_if_crowded()
        self._unpacked = None
        offset = self._metadata.allocator.take_bytes(len(packed))
        entry = self._geometry.compressed_entry(offset, len(packed))
        try:
            self._metadata.store.write(offset, packed)
        except OSError:
            self._metadata.allocator.give_back(*self._geometry.host_clusters(entry))
            raise
        self._link(cluster, array("Q", [entry]))
        return True

    def zero(self, first: int, end: int, keep_space: bool) -> None:
        """Make whole clusters read as zeros."""
        for run in self._runs(first, end):
            if run.status is Status.ZERO and (keep_space or not run.host_offset):
                continue
            self._commit_if_crowded()
            if keep_space and run.in_place:
                step = self._cluster_bytes
                places = range(run.host_offset, run.host_offset + run.clusters * step, step)
                entries = array("Q", [place | COPIED | ZERO for place in places])
                self._put(run.first, entries)
            else:
                self._link(run.first, array("Q", [ZERO]) * run.clusters)

    def discard(self, first: int, end: int) -> None:
        """Give back the space of whole clusters, which read as zeros from then on."""
        for run in self._runs(first, end):
            if run.status is not Status.ABSENT or self.backing:
                self.zero(run.first, run.first + run.clusters, keep_space=False)

    def cut_off(self, first: int, end: int) -> None:
        """Forget whole clusters that are no longer within the disk."""
        for run in self._runs(first, end):
            if run.status is not Status.ABSENT:
                self._commit_if_crowded()
                self._link(run.first, array("Q", [0]) * run.clusters)
        per_table = self._geometry.l2_entries
        for index in range(-(-first // per_table), -(-end // per_table)):
            self._metadata.tables.remove(index)

    def _write(self, offset_bytes: int, view: memoryview) -> None:
        origin = offset_bytes
        cluster_bytes = self._cluster_bytes
        limit = offset_bytes + len(view)
        end = self._geometry.clusters(limit)
        at = offset_bytes // cluster_bytes
        while at < end:
            run = self._run_to_write(at, end)
            at = run.first + run.clusters
            start = max(run.first * cluster_bytes, offset_bytes)
            stop = min(at * cluster_bytes, limit)
            piece = view[start - origin : stop - origin]
            if run.in_place:
                self._metadata.guard(run.host_offset // cluster_bytes, run.clusters)
                place = run.host_offset + start - run.first * cluster_bytes
                self._metadata.store.write(place, piece)
            else:
                at = self._write_new(run.first, at, start, piece)

    def _run_to_write(self, first: int, end: int) -> Run:
        """The first run of a range; those that need new clusters as one, within an L2 table."""
        per_table = self._geometry.l2_entries
        end = min(end, (first // per_table + 1) * per_table)
        whole: Run | None = None
        for run in self._runs(first, end):
            if whole is None:
                whole = run
            elif run.in_place:
                break
            else:
                whole = whole._replace(clusters=whole.clusters + run.clusters)
            if whole.in_place:
                break
        assert whole is not None, "an empty range has no run"
        return whole

    def _write_new(self, first: int, end: int, start_bytes: int, piece: memoryview) -> int:
        """Write to new clusters, as many as there are in a row; returns the first one left over."""
        bits, store = self._geometry.cluster_bits, self._metadata.store
        host, count = self._metadata.allocator.take(end - first)
        try:
            fresh = host << bits >= store.size_bytes  # it reads as zeros as it is
            if fresh:
                store.extend(host + count << bits)
            place = (host - first << bits) + start_bytes
            body = piece[: (first + count << bits) - start_bytes]
            self._copy(first << bits, start_bytes, host << bits, fresh)
            store.write(place, body)
            stop = start_bytes + len(body)
            self._copy(stop, first + count << bits, place + len(body), fresh)
        except (OSError, ImageError):
            self._metadata.allocator.give_back(host, count)
            raise
        places = range(host << bits, host + count << bits, self._cluster_bytes)
        self._link(first, array("Q", [place | COPIED for place in places]))
        return first + count

    def _copy(self, start: int, end: int, place: int, fresh: bool) -> None:
        """Copy what a part of the disk holds to a place, which reads as zeros if it is fresh."""
        limit = min(end, self._metadata.header.size_bytes)
        for run, at, stop in self._cut(start, limit):
            absent = run.status is Status.ABSENT and not self.backing
            if not fresh or not (absent or run.status is Status.ZERO):
                self._metadata.store.write(place + at - start, self.read(at, stop - at))
        past = max(start, limit)
        if end > past and not fresh:
            self._metadata.store.write(place + past - start, bytes(end - past))

    def _link(self, first: int, entries: array[int]) -> None:
        """Let clusters of one L2 table be others, and drop what they were."""
        table = self._metadata.tables.get(first // self._geometry.l2_entries)
        at = first % self._geometry.l2_entries
        old = table.entries[at : at + len(entries)] if table else array("Q")
        self._put(first, entries)
        for entry in old:
            if entry & (OFFSET_MASK | COMPRESSED):
                self._metadata.allocator.drop_entry(entry)

    def _put(self, first: int, entries: array[int]) -> None:
        index, at = divmod(first, self._geometry.l2_entries)
        self._metadata.tables.get_to_change(index).put(at, entries)

    def _runs(self, first: int, end: int) -> Iterator[Run]:
        metadata = self._metadata
        return runs(metadata.tables, self._geometry, metadata.name, first, end)

    def _cut(self, start: int, end: int) -> Iterator[tuple[Run, int, int]]:
        """The runs of a range of bytes, and the bytes of each that are within it."""
        bits = self._geometry.cluster_bits
        for run in self._runs(start >> bits, self._geometry.clusters(end) if end > start else 0):
            run_end = run.first + run.clusters << bits
            yield run, max(start, run.first << bits), min(end, run_end)

    def _unpack(self, entry: int) -> bytes:
        if self._unpacked is None or self._unpacked[0] != entry:
            metadata = self._metadata
            data = read_compressed(metadata.store, metadata.name, self._geometry, entry)
            self._unpacked = entry, data
        return self._unpacked[1]

    def _commit_if_crowded(self) -> None:
        if self._metadata.crowded:
            self._metadata.commit()


def _follows(extent: Extent, host: int | None) -> bool:
    if extent.host_offset_bytes is None or host is None:
        return extent.host_offset_bytes is host and extent.status is not Status.COMPRESSED
    return extent.host_offset_bytes + extent.length_bytes == host


def _read_to_end(image: Image, offset_bytes: int, length_bytes: int) -> bytes:
    """The bytes of a range of a backing image, which may be shorter: zeros past its end."""
    there = max(min(length_bytes, image.size_bytes - offset_bytes), 0)
    data = image.read(offset_bytes, there) if there else b""
    return data + bytes(length_bytes - there) if there < length_bytes else data
