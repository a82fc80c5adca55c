"""The background copy of a backup job, and its end.

A job takes a run of clusters, reads it from the drive and writes it to the target. It takes no more
while it is paused, throttled, drained or ending; requests in flight always finish.
"""

from collections.abc import Iterator

from cleancut_reference.arithmetic import byte_span, delay_ns
from cleancut_reference.bitmap import clear_run
from cleancut_reference.block.graph import Graph
from cleancut_reference.block.node import Node
from cleancut_reference.block.request import DiskRequest, Failed, Op, Outcome
from cleancut_reference.errors import strerror
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
    end = _next_status(state, job)
    if end is not None:
        yield end


def _next_status(state: State, job: Job) -> Step | None:
    """The step that changes the job's status, if nothing in flight holds it back."""
    if job.ending:
        return _abort(state, job) if may_abort(job) else None
    if job.status is Status.PENDING:
        return _complete(state, job)
    if job.status is not Status.RUNNING or job.in_flight:
        return None
    if job.user_paused:
        return _park(state, job)
    if job.remaining == 0 and not job.source.traffic.cbw_in_flight:
        return _finish(state, job)
    return None


@cites("JOB-PAUSE-1", "JOB-SPEED-1", "GUEST-LIVE-1")
def may_claim(state: State, job: Job) -> bool:
    """Whether the job may take more clusters. A drained job has status paused."""
    return (
        job.status is Status.RUNNING
        and not job.user_paused
        and not job.ending
        and len(job.in_flight) < state.options.workers
        and state.now_ns >= job.not_before_ns
    )


@cites("CBW-OVERLAP-1", "CBW-ONCE-1")
def is_claimed(job: Job, cluster: int) -> bool:
    """Whether a copy or a guest request holds the cluster."""
    return cluster in job.source.traffic.cbw_claims(job) or job.copy_overlaps(cluster, cluster + 1)


def may_abort(job: Job) -> bool:
    """Whether nothing of an ending job is in flight any more."""
    traffic = job.source.traffic
    return not (job.in_flight or traffic.cbw_in_flight or traffic.drained)


def _claim(state: State, job: Job, first: int) -> Step:
    label = Label("copy_claim", job.index, first)

    def run(_: Outcome) -> Label:
        limit = min(first + state.options.chunk_clusters, len(job.copied))
        end = clear_run(job.copied, first, limit)
        end = next((at for at in range(first + 1, end) if is_claimed(job, at)), end)
        job.in_flight.append(Copy(first, end))
        length_bytes = (end - first) * job.cluster_bytes
        job.not_before_ns = state.now_ns + delay_ns(length_bytes, job.speed_bytes_per_s)
        return label

    return Step(label, run)


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
        return label

    offset_bytes = copy.first * job.cluster_bytes
    io = DiskRequest(Op.WRITE, job.target.name, offset_bytes, len(copy.data), copy.data)
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
    data = {"device": job.id, "operation": operation, "action": action}
    state.outbox.append(Event("BLOCK_JOB_ERROR", data))
    if action == "report" and not job.ending:
        job.error = errno
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


@cites("JOB-END-1")
def _finish(state: State, job: Job) -> Step:
    label = Label("finish", job.index)

    def run(_: Outcome) -> Label:
        state.outbox.append(job.move(Status.WAITING))
        state.outbox.append(job.move(Status.PENDING))
        return label

    return Step(label, run)


@cites("EV-FINAL-1", "EV-FINAL-2")
def _complete(state: State, job: Job) -> Step:
    label = Label("complete", job.index)

    def run(outcome: Outcome) -> Label | None:
        if isinstance(outcome, Failed):  # what was written may not be on the disk
            job.error = outcome.errno
            _end_badly(state, job)
            return None
        state.outbox.append(job.block_job_event("BLOCK_JOB_COMPLETED"))
        bury(state, job)
        return label

    return Step(label, run, close_request(state, job))


@cites("JOB-CANCEL-1", "EV-FINAL-1", "EV-FINAL-2", "EV-SOURCE-1")
def _abort(state: State, job: Job) -> Step:
    label = Label("abort", job.index)

    def run(_: Outcome) -> Label:
        _end_badly(state, job)
        return label

    return Step(label, run, close_request(state, job))


def close_request(state: State, job: Job) -> DiskRequest:
    """Close a target that only the job has; write out one that stays."""
    if job.target.monitor_owned or state.graph.drive_of(job.target):
        return DiskRequest(Op.FLUSH, job.target.name)
    names = tuple(node.name for node in state.graph.unused_below(job.target))
    return DiskRequest(Op.CLOSE, job.target.name, nodes=names)


def _end_badly(state: State, job: Job) -> None:
    if job.status is Status.PAUSED:  # the table knows no way from paused to aborting
        state.outbox.append(job.move(Status.RUNNING))
    state.outbox.append(job.move(Status.ABORTING))
    if job.error:
        final = job.block_job_event("BLOCK_JOB_COMPLETED")
        final.data["error"] = strerror(job.error)
    else:
        final = job.block_job_event("BLOCK_JOB_CANCELLED")
    state.outbox.append(final)
    bury(state, job)


@cites("JOB-FREE-1", "EV-LAST-1", "TX-FAIL-2", "TX-FAIL-3", "TX-FAIL-4")
def bury(state: State, job: Job) -> None:
    """The job's last steps: the drive is free and nothing of the job is left."""
    state.outbox.append(job.move(Status.CONCLUDED))
    state.outbox.append(job.move(Status.NULL))
    detach(state.graph, job)
    state.jobs.remove(job)


def attach(graph: Graph, job: Job) -> None:
    """Put the job's filter above its source, and refuse most commands on filter and target."""
    children = {"file": job.source, "target": job.target}
    job.filter = Node(
        name=graph.new_name(),
        driver="copy-before-write",
        size_bytes=job.source.size_bytes,
        traffic=job.source.traffic,
        filename=job.source.filename,
        children=children,
        job=job,
    )
    graph.insert_filter(job.filter)
    for node in (job.filter, job.target):
        graph.block(node, "block device is in use by block job: backup", job)


def detach(graph: Graph, job: Job) -> None:
    """Take the filter away, and the target unless others have it, too."""
    graph.unblock(job)
    graph.remove_filter(job.filter)
    if not job.target.monitor_owned and not any(graph.parents(job.target)):
        graph.remove_tree(job.target)
