"""A drive and the guest requests on their way to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from cleancut_reference.arithmetic import cluster_span, overlap

if TYPE_CHECKING:
    from cleancut_reference.jobs.job import Job


class GuestOp(StrEnum):
    """What a guest asks of a drive."""

    READ = "read"
    WRITE = "write"
    FLUSH = "flush"


class Phase(StrEnum):
    """Where a guest request stands. Only one that has ARRIVED does not count as in flight."""

    ARRIVED = "arrived"
    CBW_NEXT = "cbw-next"  # in flight, with one more cluster to be copied first
    CBW_READ = "cbw-read"
    CBW_WRITE = "cbw-write"
    IN_FLIGHT = "in-flight"


@dataclass(slots=True, eq=False)
class GuestRequest:
    """One guest request; `claimed` is the cluster that copy-before-write holds, with its content.

    `report` turns its errno and data into what the console shows.
    """

    id: int
    op: GuestOp
    offset_bytes: int
    length_bytes: int
    data: bytes = b""
    phase: Phase = Phase.ARRIVED
    claimed: int | None = None
    old_content: bytes = b""
    report: Callable[[str, bytes], str] | None = None

    def span(self, cluster_bytes: int) -> tuple[int, int]:
        """The clusters that the request touches."""
        return cluster_span(self.offset_bytes, self.length_bytes, cluster_bytes)

    def overlaps(self, other: GuestRequest, cluster_bytes: int) -> bool:
        """Whether both touch one cluster and one of them writes it."""
        writes = GuestOp.WRITE in (self.op, other.op)
        return writes and overlap(*self.span(cluster_bytes), *other.span(cluster_bytes))


@dataclass(slots=True, eq=False)
class Drive:
    """A drive; `size_bytes` is None where it has no medium."""

    index: int
    name: str
    size_bytes: int | None
    filename: str
    identity: str
    drained: bool = False
    requests: list[GuestRequest] = field(default_factory=list)
    job: Job | None = None

    @property
    def quiet(self) -> bool:
        """Whether no guest request is in flight."""
        return all(request.phase is Phase.ARRIVED for request in self.requests)

    @property
    def cbw_in_flight(self) -> bool:
        """Whether a guest request is between its arrival and its own write to the drive."""
        return any(
            request.phase in (Phase.CBW_NEXT, Phase.CBW_READ, Phase.CBW_WRITE)
            for request in self.requests
        )

    def cbw_claims(self) -> Iterator[int]:
        """The clusters that copy-before-write holds."""
        return (request.claimed for request in self.requests if request.claimed is not None)
