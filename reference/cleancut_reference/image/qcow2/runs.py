"""What the tables say of a range, as runs of clusters that are alike."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import NamedTuple

from cleancut_reference.image.image import ImageError, Status
from cleancut_reference.image.qcow2.layout import (
    COMPRESSED,
    COPIED,
    OFFSET_MASK,
    ZERO,
    Geometry,
)
from cleancut_reference.image.qcow2.tables import Tables


class Run(NamedTuple):
    """Clusters of one status; those with a place in the store lie there in a row."""

    status: Status
    first: int  # cluster of the guest's disk
    clusters: int
    entry: int  # the L2 entry of the first

    @property
    def host_offset(self) -> int:
        """Where the first cluster lies; zero if nowhere."""
        return self.entry & OFFSET_MASK

    @property
    def in_place(self) -> bool:
        """Whether the clusters hold data and may be written where they are."""
        return self.status is Status.DATA and bool(self.entry & COPIED)


def runs(tables: Tables, geometry: Geometry, name: str, first: int, end: int) -> Iterator[Run]:
    """The runs from one cluster of the guest's disk to before another; none spans two L2 tables."""
    per_table = geometry.l2_entries
    while first < end:
        index, at = divmod(first, per_table)
        stop = min(end, (index + 1) * per_table)
        table = tables.get(index)
        if table is None:
            yield Run(Status.ABSENT, first, stop - first, 0)
        else:
            base = index * per_table
            for run in table_runs(table.entries, geometry, at, stop - base):
                _check(run, geometry, name)
                yield run._replace(first=base + run.first)
        first = stop


def table_runs(entries: array[int], geometry: Geometry, at: int, end: int) -> Iterator[Run]:
    """The runs of some entries of one L2 table, by number of entry."""
    cluster_bytes = geometry.cluster_bytes
    while at < end:
        entry, stop = entries[at], at + 1
        if entry & COMPRESSED:
            status = Status.COMPRESSED
        elif entry & OFFSET_MASK:
            status = Status.ZERO if entry & ZERO else Status.DATA
            expected = entry + cluster_bytes
            while stop < end and entries[stop] == expected:
                stop, expected = stop + 1, expected + cluster_bytes
        else:
            status = Status.ZERO if entry & ZERO else Status.ABSENT
            while stop < end and entries[stop] == entry:
                stop += 1
        yield Run(status, at, stop - at, entry)
        at = stop


def _check(run: Run, geometry: Geometry, name: str) -> None:
    if run.status is not Status.COMPRESSED and run.host_offset % geometry.cluster_bytes:
        desc = f"{run.host_offset:#x} is not the start of a cluster"
        raise ImageError(name, f"L2 entry of cluster {run.first}", desc)
