"""All that the engine knows."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from cleancut_reference.block.graph import Graph
from cleancut_reference.block.node import GuestDevice
from cleancut_reference.errors import generic
from cleancut_reference.jobs.creation import Creation
from cleancut_reference.jobs.group import Group
from cleancut_reference.jobs.job import CLUSTER_BYTES, Job
from cleancut_reference.nbd.export import Export
from cleancut_reference.outputs import Output
from cleancut_spec import cites
from cleancut_spec.profiles import DEFAULT, Profile

MAX_CHUNK_BYTES: Final = 1 << 20
_ID: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")


class Clock(StrEnum):
    """Where time comes from: `instant` has no waiting, in `manual` only the client moves time."""

    REAL = "real"
    INSTANT = "instant"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class Options:
    """Sizes that the semantics do not depend on."""

    cluster_bytes: int = CLUSTER_BYTES
    max_chunk_bytes: int = MAX_CHUNK_BYTES
    workers: int = 1  # background copies of one job in flight at once
    retry_delay_ns: int = 100_000_000  # before an ignored error is tried again


@dataclass(slots=True, eq=False)
class State:
    """The block graph, the jobs in the order of their creation, the time, what is to be sent.

    `profile` says which version of QEMU all this is like.
    """

    graph: Graph = field(default_factory=Graph)
    options: Options = field(default_factory=Options)
    profile: Profile = DEFAULT
    jobs: list[Job] = field(default_factory=list)
    creations: list[Creation] = field(default_factory=list)  # jobs that make images, oldest first
    now_ns: int = 0
    clock: Clock = Clock.REAL
    outbox: list[Output] = field(default_factory=list)
    next_request: int = 1
    run_state: str = "running"
    devices: list[GuestDevice] = field(default_factory=list)
    objects: dict[str, str] = field(default_factory=dict)  # of object-add: id to type
    nbd_running: bool = False
    exports: list[Export] = field(default_factory=list)
    quitting: bool = False  # no job goes on
    shut_down: bool = False

    def job(self, job_id: str) -> Job | None:
        """The job with this id."""
        return next((job for job in self.jobs if job.id == job_id), None)

    @cites("JOB-ID-1")
    def check_job_id(self, job_id: str) -> None:
        """Refuse a job's name that is ill-formed or taken; raises QmpError."""
        if not _ID.fullmatch(job_id):
            raise generic(f"Invalid job ID '{job_id}'")
        if self.job(job_id) is not None or self.creation(job_id) is not None:
            raise generic(f"Job ID '{job_id}' already in use")

    def creation(self, job_id: str) -> Creation | None:
        """The job with this id that makes an image."""
        return next((job for job in self.creations if job.id == job_id), None)

    def groups(self) -> list[Group]:
        """The groups of jobs that complete together."""
        return list(dict.fromkeys(job.group for job in self.jobs if job.group is not None))
