"""The background copy of a backup job.

A job takes a run of clusters, reads it from the drive and writes it to the target. It takes no more
while it is paused, throttled, drained or ending; requests in flight always finish.
"""

from collections.abc import Iterator

from cleancut_reference.arithmetic import byte_span, delay_ns
from cleancut_reference.bitmap import clear_run
from cleancut_reference.block.dirty_bitmap import record
from cleancut_reference.block.request import DiskRequest, Failed, Op, Outcome
from cleancut_reference.jobs import ending
from cleancut_reference.jobs.job import Copy, Job, Policy
from cleancut_reference.outputs import Event
from cleancut_reference.state import State
from cleancut_reference.step import Step
from cleancut_spec import cites
from cleancut_spec.jobs import Status
from cleancut_spec.schedule import Label


def steps(state: State, job: Job) -> Iterator[Step]:
    """What a job can do next."""
    for copy in job.in_flight:
        yield _read(state, job, copy) if copy.data is None else _write(state, job, copy)
    if may_claim(state, job):
        for first in job.remaining_clusters():
            if not is_claimed(job, first):
                yield _claim(state, job, first)
    if may_park(job):
        yield _park(state, job)


@cites("JOB-PAUSE-1", "JOB-SPEED-1", "GUEST-LIVE-1", "SYNC-NONE-1")
def may_claim(state: State, job: Job) -> bool:
    """Whether the job may take more clusters."""
    return (
        job.status is Status.RUNNING
        and job.copies_by_itself
        and not job.source.traffic.drained
        and not job.user_paused
        and not job.ending
        and len(job.in_flight) < min(state.options.workers, job.settings.max_workers)
        and state.now_ns >= job.not_before_ns
    )


@cites("CBW-OVERLAP-1", "CBW-ONCE-1")
def is_claimed(job: Job, cluster: int) -> bool:
    """Whether a copy or a guest request holds the cluster."""
    return cluster in job.source.traffic.cbw_claims(job) or job.copy_overlaps(cluster, cluster + 1)


def _next_claimed(job: Job, first: int) -> int:
    """The first cluster after this one that a copy or a guest request holds."""
    copies = (copy.first for copy in job.in_flight)
    claims = (*job.source.traffic.cbw_claims(job), *copies)
    return min((at for at in claims if at > first), default=len(job.copied))


def may_park(job: Job) -> bool:
    """Whether the job, which is to pause, has come to stand still."""
    running = job.status is Status.RUNNING and not job.ending
    return running and job.user_paused and not job.in_flight


def _claim(state: State, job: Job, first: int) -> Step:
    label = Label("copy_claim", job.index, first)

    def run(_: Outcome) -> Label:
        limit = min(first + _chunk_clusters(state, job), len(job.copied))
        end = clear_run(job.copied, first, limit)
        end = min(end, _next_claimed(job, first))
        job.in_flight.append(Copy(first, end))
        if any(not is_claimed(job, left) for left in job.remaining_clusters()):
            length_bytes = (end - first) * job.cluster_bytes
            job.not_before_ns = state.now_ns + delay_ns(length_bytes, job.speed_bytes_per_s)
        return label

    return Step(label, run)


def _chunk_clusters(state: State, job: Job) -> int:
    """How many clusters one background copy may cover."""
    most_bytes = job.settings.max_chunk_bytes or state.options.max_chunk_bytes
    return max(1, min(most_bytes, state.options.max_chunk_bytes) // job.cluster_bytes)


@cites("DATA-TAIL-1", "PIT-ONE-1")
def _read(state: State, job: Job, copy: Copy) -> Step:
    label = Label("copy_read", job.index, copy.first)
    offset_bytes, length_bytes = byte_span(
        copy.first, copy.end, job.cluster_bytes, job.source.size_bytes
    )

    def run(outcome: Outcome) -> Label:
        if isinstance(outcome, Failed):
            return _fail(state, job, copy, "read", outcome.errno)
        assert isinstance(outcome, bytes)
        copy.data = outcome
        return label

    return Step(label, run, DiskRequest(Op.READ, job.source.name, offset_bytes, length_bytes))


def _write(state: State, job: Job, copy: Copy) -> Step:
    label = Label("copy_write", job.index, copy.first)
    assert copy.data is not None

    def run(outcome: Outcome) -> Label:
        if isinstance(outcome, Failed):
            return _fail(state, job, copy, "write", outcome.errno)
        job.in_flight.remove(copy)
        job.mark_copied(copy.first, copy.end)
        record(job.target, offset_bytes, length_bytes)
        return label

    offset_bytes, length_bytes = copy.first * job.cluster_bytes, len(copy.data)
    io = job.write_request(offset_bytes, copy.data)
    return Step(label, run, io)


def action_for(policy: Policy, errno: str) -> str:
    """What a policy does about an errno: `report`, `ignore` or `stop`."""
    if policy in (Policy.ENOSPC, Policy.AUTO):
        return "stop" if errno == "ENOSPC" else "report"
    return str(policy)


@cites("EV-ERROR-1", "POLICY-REPORT-1", "POLICY-IGNORE-1", "POLICY-STOP-1", "POLICY-ENOSPC-1")
def _fail(state: State, job: Job, copy: Copy, operation: str, errno: str) -> Label:
    """A read of the drive or a write to the target has failed; its clusters stay to be copied."""
    job.in_flight.remove(copy)
    settings = job.settings
    policy = settings.on_source_error if operation == "read" else settings.on_target_error
    action = action_for(policy, errno)
    if not job.ending and job.io_status == "ok":  # the first of several copies speaks for all
        data = {"device": job.id, "operation": operation, "action": action}
        state.outbox.append(Event("BLOCK_JOB_ERROR", data))
    if action == "report":
        ending.fail(job, errno)
    elif action == "stop":
        job.user_paused = True
        job.io_status = "nospace" if errno == "ENOSPC" else "failed"
    elif action == "ignore":
        job.not_before_ns = max(job.not_before_ns, state.now_ns + state.options.retry_delay_ns)
    return Label(f"fail_copy_{operation}", job.index, copy.first, errno)


def _park(state: State, job: Job) -> Step:
    def run(_: Outcome) -> None:
        state.outbox.append(job.move(Status.PAUSED))

    return Step(None, run)
