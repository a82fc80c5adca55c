"""All that the engine knows."""

from dataclasses import dataclass, field
from typing import Final

from cleancut_reference.block.drive import Drive
from cleancut_reference.jobs.job import CLUSTER_BYTES, Job
from cleancut_reference.outputs import Output

MAX_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Options:
    """Sizes that the semantics do not depend on."""

    cluster_bytes: int = CLUSTER_BYTES
    max_chunk_bytes: int = MAX_CHUNK_BYTES
    workers: int = 1  # background copies of one job in flight at once
    retry_delay_ns: int = 100_000_000  # before an ignored error is tried again

    @property
    def chunk_clusters(self) -> int:
        """How many clusters one background copy may cover."""
        return max(1, self.max_chunk_bytes // self.cluster_bytes)


@dataclass(slots=True, eq=False)
class State:
    """The drives, the jobs in the order of their creation, the time, and what is to be sent."""

    drives: list[Drive]
    options: Options = field(default_factory=Options)
    jobs: list[Job] = field(default_factory=list)
    now_ns: int = 0
    outbox: list[Output] = field(default_factory=list)
    next_request: int = 1
    shut_down: bool = False

    def drive(self, name: str) -> Drive | None:
        """The drive with this name or node name."""
        return next((d for d in self.drives if name in (d.name, node_name(d))), None)

    def job(self, job_id: str) -> Job | None:
        """The job with this id."""
        return next((j for j in self.jobs if j.id == job_id), None)

    def identities_in_use(self) -> set[str]:
        """The files that drives and targets have open."""
        used = {drive.identity for drive in self.drives if drive.identity}
        return used | {job.target_identity for job in self.jobs}


def node_name(drive: Drive) -> str:
    """The name of a drive's root node."""
    return f"#block{100 + drive.index}"
