"""A backup job and its life, after the job-status table of the spec."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from cleancut_reference.arithmetic import byte_span, cluster_count, cluster_span, overlap
from cleancut_reference.bitmap import first_clear
from cleancut_reference.block.dirty_bitmap import DirtyBitmap
from cleancut_reference.block.node import Node
from cleancut_reference.block.request import DiskRequest, Op
from cleancut_reference.jobs.group import Group
from cleancut_reference.jobs.scope import Scope, Sync
from cleancut_reference.outputs import Event
from cleancut_spec import cites
from cleancut_spec.jobs import FOLLOWS, Status

CLUSTER_BYTES: Final = 65536
DEFAULT_WORKERS: Final = 64

#: What `Job.copied` says of a cluster that is not to be copied any more, or never was.
COPIED: Final = 1
LEFT_OUT: Final = 2


class Policy(StrEnum):
    """What is done about an I/O error of the job's own copying."""

    REPORT = "report"
    IGNORE = "ignore"
    ENOSPC = "enospc"
    STOP = "stop"
    AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command that starts a backup says about the job; its id may be left out."""

    id: str | None
    speed_bytes_per_s: int = 0
    on_source_error: Policy = Policy.REPORT
    on_target_error: Policy = Policy.REPORT
    auto_finalize: bool = True
    auto_dismiss: bool = True
    scope: Scope = field(default_factory=Scope)
    compress: bool = False
    filter_name: str | None = None
    max_workers: int = DEFAULT_WORKERS
    max_chunk_bytes: int = 0  # of one background copy; 0: the server's own limit
    min_cluster_bytes: int = 0  # clusters are no smaller than this
    breaks_snapshot: bool = False  # a failed copy-before-write fails the job, not the guest's write


@dataclass(slots=True, eq=False)
class Copy:
    """One request of the background copy: a run of clusters, read (`data` is set) or to be read."""

    first: int
    end: int
    data: bytes | None = None


@dataclass(slots=True, eq=False)
class Job:
    """A backup of one node to another; `filter` stands above the source while the job exists."""

    settings: Settings
    source: Node
    target: Node
    cluster_bytes: int = CLUSTER_BYTES
    group: Group | None = None
    status: Status = Status.UNDEFINED
    speed_bytes_per_s: int = 0
    user_paused: bool = False
    cancelled: bool = False
    error: str = ""  # the errno that ends the job
    io_status: str = "ok"
    not_before_ns: int = 0  # no further cluster is taken before this instant
    in_flight: list[Copy] = field(default_factory=list)
    copied: bytearray = field(init=False)  # one byte a cluster: COPIED, LEFT_OUT, or 0
    remaining: int = field(init=False)  # clusters that are not
    total: int = field(init=False)  # clusters that are to be copied
    lowest: int = 0  # no cluster below this one remains
    bitmap: DirtyBitmap | None = None  # frozen for the job
    filter: Node = field(init=False)
    broken: bool = False  # what the guest overwrites is not copied first any more
    whole_clusters: bool = True  # `len` and `offset` count whole clusters, not bytes of the image

    def __post_init__(self) -> None:
        self.remaining = cluster_count(self.source.size_bytes, self.cluster_bytes)
        self.total = self.remaining
        self.copied = bytearray(self.remaining)
        self.speed_bytes_per_s = self.settings.speed_bytes_per_s

    @property
    def id(self) -> str:
        """The job's name: the drive's, unless the command says another."""
        assert self.settings.id is not None, "a job is made when its name is known"
        return self.settings.id

    @property
    def index(self) -> int:
        """The number of the job's drive in the labels of steps."""
        return self.source.index

    @property
    def ending(self) -> bool:
        """Whether the job has failed or was cancelled and only waits for its requests."""
        return self.cancelled or bool(self.error)

    @property
    def over(self) -> bool:
        """Whether the job has ended; it may still be to be dismissed."""
        return self.status in (Status.CONCLUDED, Status.NULL)

    @property
    def copies_by_itself(self) -> bool:
        """Whether the job copies, and ends, without a guest write or a client."""
        return self.settings.scope.sync is not Sync.NONE

    @property
    def length_bytes(self) -> int:
        """The job's `len`: what is to be copied."""
        if not self.whole_clusters:
            return self.source.size_bytes
        return self.total * self.cluster_bytes

    @property
    def offset_bytes(self) -> int:
        """The job's `offset`: what is on the target."""
        left_bytes = self.remaining * self.cluster_bytes
        if not self.whole_clusters and self.copied[-1:] == b"\0":  # the last may be partial
            left_bytes -= -self.source.size_bytes % self.cluster_bytes
        return self.length_bytes - left_bytes

    @cites("JOB-STATUS-1")
    def move(self, status: Status) -> Event:
        """Change the status, as the table allows, and say so."""
        assert status in FOLLOWS[self.status], f"{self.id}: {self.status} to {status}"
        self.status = status
        return Event("JOB_STATUS_CHANGE", {"status": str(status), "id": self.id})

    @cites("BITMAP-COPY-1")
    def copy_only(self, runs: list[tuple[int, int]]) -> None:
        """Only the clusters that these ranges of bytes touch belong to the backup."""
        wanted = bytearray(bytes([LEFT_OUT])) * len(self.copied)
        for start, stop in runs:
            first, end = cluster_span(start, stop - start, self.cluster_bytes)
            end = min(end, len(wanted))
            wanted[first:end] = bytes(end - first)
        self.copied = wanted
        self.remaining = self.total = wanted.count(0)

    def uncopied_runs(self) -> Iterator[tuple[int, int]]:
        """The ranges of bytes that are still to be copied."""
        for cluster in self.remaining_clusters():
            offset_bytes, length_bytes = byte_span(
                cluster, cluster + 1, self.cluster_bytes, self.source.size_bytes
            )
            yield offset_bytes, offset_bytes + length_bytes

    def write_request(self, offset_bytes: int, data: bytes) -> DiskRequest:
        """Write to the target what was read from the source."""
        compress = self.settings.compress
        return DiskRequest(
            Op.WRITE, self.target.name, offset_bytes, len(data), data, compress=compress
        )

    def mark_copied(self, first: int, end: int) -> None:
        """Clusters first to end are on the target."""
        assert not any(self.copied[first:end]), f"{self.id}: {first} to {end} copied twice"
        self.copied[first:end] = bytes([COPIED]) * (end - first)
        self.remaining -= end - first

    def remaining_clusters(self) -> Iterator[int]:
        """The clusters that are not on the target, lowest first."""
        end = len(self.copied)
        at = self.lowest = first_clear(self.copied, self.lowest, end)
        while at < end:
            yield at
            at = first_clear(self.copied, at + 1, end)

    @cites("CBW-ERROR-1")
    def break_off(self, operation: str, errno: str) -> Event | None:
        """With on-cbw-error=break-snapshot the job fails, and the guest's write does not."""
        if not self.settings.breaks_snapshot or self.ending:
            return None
        self.broken, self.error = True, errno
        data = {"device": self.id, "operation": operation, "action": "report"}
        return Event("BLOCK_JOB_ERROR", data)

    def copy_overlaps(self, first: int, end: int) -> bool:
        """Whether a request of the background copy covers one of these clusters."""
        return any(overlap(copy.first, copy.end, first, end) for copy in self.in_flight)

    @cites("JOB-PROGRESS-1")
    def block_job_event(self, name: str) -> Event:
        """A final event, with the error of a job that failed."""
        data: dict[str, Any] = {
            "device": self.id,
            "len": self.length_bytes,
            "offset": self.offset_bytes,
            "speed": self.speed_bytes_per_s,
            "type": "backup",
        }
        return Event(name, data)
