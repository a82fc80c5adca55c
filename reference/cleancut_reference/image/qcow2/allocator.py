"""Which clusters of the store are taken next, and when those that are dropped are free again."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from cleancut_reference.image.qcow2.layout import Geometry
from cleancut_reference.image.qcow2.refcounts import Refcounts


class Allocator:
    """Takes free clusters, lowest first.

    A cluster that is dropped may still be referred to by the tables in the store. It becomes free
    only by `free_dropped`, when no table there names it any more, so that nothing is written over
    content that a crash could bring back. `guard` refuses clusters that are in use although their
    refcount is zero, as in a damaged image.
    """

    def __init__(self, refcounts: Refcounts) -> None:
        self._refcounts = refcounts
        self._geometry: Geometry = refcounts.geometry
        self._frontier = 0  # every free cluster below it is in _freed
        self._freed: list[tuple[int, int]] = []  # a heap of runs: first, count
        self._dropped: list[tuple[int, int]] = []
        self._end: int | None = None  # while everything is taken at the end: the next cluster
        self._packing: int | None = None  # where the next compressed data goes
        self.guard: Callable[[int, int], None] = lambda first, count: None

    @property
    def has_dropped(self) -> bool:
        """Whether clusters wait to become free."""
        return bool(self._dropped)

    @property
    def crowded(self) -> bool:
        """Whether so many runs wait that it is time to free them."""
        return len(self._dropped) > 65536

    def take(self, wanted: int) -> tuple[int, int]:
        """Take at most so many clusters in a row, one at least: the first, and how many."""
        if self._end is not None:
            return self.take_at_end(wanted), wanted
        if self._freed:
            first, count = heapq.heappop(self._freed)
            if count > wanted:
                heapq.heappush(self._freed, (first + wanted, count - wanted))
            run = min(count, wanted)
        else:
            first = self._refcounts.next_free(self._frontier)
            if self._refcounts.cover(first, self.guard):
                first += 1
            run = self._refcounts.free_run(first, wanted)
            self._frontier = first + run
        self.guard(first, run)
        self._refcounts.add(first, run, 1)
        return first, run

    def take_row(self, count: int) -> int:
        """Take exactly so many clusters in a row; returns the first."""
        return self.take(1)[0] if count == 1 else self.take_at_end(count)

    def take_at_end(self, count: int) -> int:
        """Take clusters that lie past the end of the store; returns the first."""
        first = self._refcounts.end() if self._end is None else self._end
        self._refcounts.add(first, count, 1)
        if self._end is not None:
            self._end = first + count
        return first

    def take_bytes(self, length_bytes: int) -> int:
        """Take room for compressed data, which shares clusters; returns its offset."""
        bits = self._geometry.cluster_bits
        if self._packing is not None:
            cluster = self._packing >> bits
            left = (cluster + 1 << bits) - self._packing
            may_share = self._refcounts.get(cluster) < self._geometry.refcount_max
            if length_bytes <= left and may_share:
                self._refcounts.add(cluster, 1, 1)
                offset, self._packing = self._packing, self._packing + length_bytes
                if length_bytes == left:
                    self._packing = None
                return offset
        cluster, _ = self.take(1)
        offset = cluster << bits
        self._packing = offset + length_bytes
        return offset

    def drop(self, first: int, count: int) -> None:
        """Take one reference from each of some clusters, as soon as that is safe."""
        if not count:
            return
        if self._dropped and sum(self._dropped[-1]) == first:
            first, count = self._dropped[-1][0], self._dropped.pop()[1] + count
        self._dropped.append((first, count))

    def drop_entry(self, entry: int) -> None:
        """Drop what an L2 entry refers to."""
        self.drop(*self._geometry.host_clusters(entry))

    def free_dropped(self) -> None:
        """No table in the store names what was dropped: count it down, and use it again."""
        dropped, self._dropped = self._dropped, []
        for first, count in dropped:
            self.give_back(first, count)

    def give_back(self, first: int, count: int) -> None:
        """Count down clusters that no table in the store names."""
        self._refcounts.add(first, count, -1)
        free = [at for at in range(first, first + count) if not self._refcounts.get(at)]
        for cluster in free:
            if (
                self._packing is not None
                and self._packing >> self._geometry.cluster_bits == cluster
            ):
                self._packing = None
        if len(free) == count and first + count <= self._frontier:
            heapq.heappush(self._freed, (first, count))
            return
        for cluster in free:
            if cluster < self._frontier:
                heapq.heappush(self._freed, (cluster, 1))

    def begin_at_end(self) -> None:
        """From now on, take only clusters past the end: what the store has stays as it is."""
        self._end = self._refcounts.end()

    def finish_at_end(self) -> None:
        """Take any free cluster again, whoever freed it."""
        self._end = None
        self._frontier = 0
        self._freed.clear()
        self._packing = None
