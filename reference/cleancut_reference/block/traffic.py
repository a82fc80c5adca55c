"""Guest requests on their way to one image, and the drain that may hold them back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from cleancut_reference.arithmetic import cluster_span, overlap

if TYPE_CHECKING:
    from cleancut_reference.block.node import CopyBeforeWrite, Drive


class GuestOp(StrEnum):
    """What a guest asks of a drive."""

    READ = "read"
    WRITE = "write"
    WRITE_ZEROES = "write-zeroes"
    DISCARD = "discard"
    FLUSH = "flush"
    STATUS = "status"

    @property
    def changes(self) -> bool:
        """Whether the drive's content may be another afterwards."""
        return self in (GuestOp.WRITE, GuestOp.WRITE_ZEROES, GuestOp.DISCARD)


class Phase(StrEnum):
    """Where a guest request stands. Only one that has ARRIVED does not count as in flight."""

    ARRIVED = "arrived"
    CBW_NEXT = "cbw-next"  # in flight, with one more cluster to be copied first
    CBW_READ = "cbw-read"
    CBW_WRITE = "cbw-write"
    IN_FLIGHT = "in-flight"


@dataclass(frozen=True, slots=True)
class Claim:
    """The cluster that a guest request copies for a backup before it changes it."""

    job: CopyBeforeWrite
    cluster: int


@dataclass(slots=True, eq=False)
class GuestRequest:
    """One guest request, which came in by `drive`; `old_content` is what its claim has read.

    `report` turns its errno, its data and how long it took into what the console shows.
    """

    id: int
    drive: Drive
    op: GuestOp
    offset_bytes: int
    length_bytes: int
    data: bytes = b""
    phase: Phase = Phase.ARRIVED
    claim: Claim | None = None
    old_content: bytes = b""
    report: Callable[[str, bytes, int], str] | None = None
    arrived_ns: int = 0
    ended: bool = False

    def span(self, cluster_bytes: int) -> tuple[int, int]:
        """The clusters that the request touches."""
        return cluster_span(self.offset_bytes, self.length_bytes, cluster_bytes)

    def overlaps(self, other: GuestRequest, cluster_bytes: int) -> bool:
        """Whether both touch one cluster and one of them changes it."""
        changes = self.op.changes or other.op.changes
        return changes and overlap(*self.span(cluster_bytes), *other.span(cluster_bytes))


@dataclass(slots=True, eq=False)
class Traffic:
    """All guest requests for one image, whichever way they came in.

    `index` is the number of the drive in the labels of steps.
    """

    index: int
    drained: bool = False  # requests that arrive have to wait
    requests: list[GuestRequest] = field(default_factory=list)

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

    def cbw_claims(self, job: CopyBeforeWrite) -> set[int]:
        """The clusters that copy-before-write holds for a backup."""
        if not self.requests:
            return set()
        claims = (request.claim for request in self.requests)
        return {claim.cluster for claim in claims if claim is not None and claim.job is job}
