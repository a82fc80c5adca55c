"""A backup job and its life, after the job-status table of the spec."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from cleancut_reference.arithmetic import cluster_count, overlap
from cleancut_reference.bitmap import first_clear
from cleancut_reference.block.node import Node
from cleancut_reference.jobs.group import Group
from cleancut_reference.outputs import Event
from cleancut_spec import cites
from cleancut_spec.jobs import FOLLOWS, Status

CLUSTER_BYTES: Final = 65536


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
    copied: bytearray = field(init=False)  # one byte a cluster: 1 if it is on the target
    remaining: int = field(init=False)  # clusters that are not
    lowest: int = 0  # no cluster below this one remains
    filter: Node = field(init=False)

    def __post_init__(self) -> None:
        self.remaining = cluster_count(self.source.size_bytes, self.cluster_bytes)
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
    def length_bytes(self) -> int:
        """The job's `len`: whole clusters."""
        return len(self.copied) * self.cluster_bytes

    @property
    def offset_bytes(self) -> int:
        """The job's `offset`: what is on the target."""
        return self.length_bytes - self.remaining * self.cluster_bytes

    @cites("JOB-STATUS-1")
    def move(self, status: Status) -> Event:
        """Change the status, as the table allows, and say so."""
        assert status in FOLLOWS[self.status], f"{self.id}: {self.status} to {status}"
        self.status = status
        return Event("JOB_STATUS_CHANGE", {"status": str(status), "id": self.id})

    def mark_copied(self, first: int, end: int) -> None:
        """Clusters first to end are on the target."""
        assert not any(self.copied[first:end]), f"{self.id}: {first} to {end} copied twice"
        self.copied[first:end] = b"\1" * (end - first)
        self.remaining -= end - first

    def remaining_clusters(self) -> Iterator[int]:
        """The clusters that are not on the target, lowest first."""
        end = len(self.copied)
        at = self.lowest = first_clear(self.copied, self.lowest, end)
        while at < end:
            yield at
            at = first_clear(self.copied, at + 1, end)

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
