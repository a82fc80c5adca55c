"""All that the engine knows."""

from dataclasses import dataclass, field
from typing import Final

from cleancut_reference.block.graph import Graph
from cleancut_reference.block.node import GuestDevice
from cleancut_reference.jobs.group import Group
from cleancut_reference.jobs.job import CLUSTER_BYTES, Job
from cleancut_reference.nbd.export import Export
from cleancut_reference.outputs import Output

MAX_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Options:
    """Sizes that the semantics do not depend on."""

    cluster_bytes: int = CLUSTER_BYTES
    max_chunk_bytes: int = MAX_CHUNK_BYTES
    workers: int = 1  # background copies of one job in flight at once
    retry_delay_ns: int = 100_000_000  # before an ignored error is tried again


@dataclass(slots=True, eq=False)
class State:
    """The block graph, the jobs in the order of their creation, the time, what is to be sent."""

    graph: Graph = field(default_factory=Graph)
    options: Options = field(default_factory=Options)
    jobs: list[Job] = field(default_factory=list)
    now_ns: int = 0
    outbox: list[Output] = field(default_factory=list)
    next_request: int = 1
    run_state: str = "running"
    devices: list[GuestDevice] = field(default_factory=list)
    objects: dict[str, str] = field(default_factory=dict)  # of object-add: id to type
    nbd_running: bool = False
    exports: list[Export] = field(default_factory=list)
    shut_down: bool = False

    def job(self, job_id: str) -> Job | None:
        """The job with this id."""
        return next((job for job in self.jobs if job.id == job_id), None)

    def groups(self) -> list[Group]:
        """The groups of jobs that complete together."""
        return list(dict.fromkeys(job.group for job in self.jobs if job.group is not None))
