"""The rules of completion: what a group does together, and what waits for the client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from cleancut_conformance.judge.finding import Fault
from cleancut_spec.jobs import Status

if TYPE_CHECKING:
    from cleancut_conformance.judge.jobs import Job

#: What the client has asked for: a verb and a job's id.
Asked = set[tuple[str, str]]

#: Statuses of a job that has copied everything and has not failed.
_COPIED: Final = (Status.WAITING, Status.PENDING)


def is_manual(job: Job, name: str) -> bool:
    """Whether the client has asked to do this step, `auto-finalize` or `auto-dismiss`, itself."""
    return job.backup is not None and job.backup.get(name) is False


def status_faults(job: Job, status: Status, asked: Asked) -> Iterator[Fault]:
    """The job is about to change its status."""
    if status is Status.PENDING:
        for other in job.group:
            if other is not job and other.status not in _COPIED:
                words = f"job {job.id!r} becomes pending, and {other.id!r} of its group is"
                yield "TX-GROUP-1", f"{words} {other.status}"
    if job.status is Status.PENDING and is_manual(job, "auto-finalize") and not job.announced:
        yield "JOB-MANUAL-1", f"job {job.id!r} was pending without BLOCK_JOB_PENDING"
    kept = job.started and is_manual(job, "auto-dismiss") and ("dismiss", job.id) not in asked
    if status is Status.NULL and kept:
        yield "JOB-MANUAL-2", f"job {job.id!r} is gone, and nobody has dismissed it"


def final_faults(job: Job, name: str, failed: bool, asked: Asked) -> Iterator[Fault]:
    """The job tells how it ends."""
    well = name == "BLOCK_JOB_COMPLETED" and not failed
    group = job.group or [job]
    manual = any(is_manual(each, "auto-finalize") for each in group)
    first = not any(each.completed_well for each in group if each is not job)
    if well and manual and first and not any(("finalize", each.id) in asked for each in group):
        yield "JOB-MANUAL-1", f"job {job.id!r} completes, and nobody has finalized it"
    for other in job.group:
        if other is job or not other.final:
            continue
        if well != other.completed_well:
            ends = {job.id: name, other.id: other.final}
            yield "TX-GROUP-2", f"the jobs of a group end in different ways: {ends}"
        elif failed and other.error:
            yield (
                "TX-GROUP-2",
                f"jobs {other.id!r} and {job.id!r} of a group both end with an error",
            )
