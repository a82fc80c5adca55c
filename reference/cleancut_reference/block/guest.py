"""Guest requests: copy-before-write, then the drive.

A write to a cluster that a backup still needs takes three steps before its own: claim the cluster,
read it, write it to the target. Where several backups stand above a node, the topmost has its copy
first. A drained drive starts no request, but lets those in flight finish.
"""

from collections.abc import Callable, Iterator

from cleancut_reference.arithmetic import byte_span
from cleancut_reference.bitmap import first_clear
from cleancut_reference.block.dirty_bitmap import record
from cleancut_reference.block.node import CopyBeforeWrite, Drive, Node
from cleancut_reference.block.request import DiskRequest, Failed, Op, Outcome
from cleancut_reference.block.traffic import Claim, GuestOp, GuestRequest, Phase, Traffic
from cleancut_reference.image.image import Extent
from cleancut_reference.outputs import GuestDone
from cleancut_reference.state import State
from cleancut_reference.step import Step
from cleancut_spec import cites
from cleancut_spec.schedule import Label


def submit(
    state: State,
    drive: Drive,
    op: GuestOp,
    offset_bytes: int = 0,
    length_bytes: int = 0,
    data: bytes = b"",
    report: Callable[[str, bytes, int], str] | None = None,
) -> GuestRequest:
    """A guest request arrives; one that cannot be, or means nothing, is answered at once."""
    request = GuestRequest(state.next_request, drive, op, offset_bytes, length_bytes, data)
    request.report, request.arrived_ns = report, state.now_ns
    state.next_request += 1
    if drive.root is None:
        _answer(state, request, "ENOMEDIUM")
    elif offset_bytes + length_bytes > drive.root.size_bytes:
        _answer(state, request, "EIO")
    elif op.changes and drive.root.read_only:
        _answer(state, request, "EPERM")
    elif op is GuestOp.DISCARD and not drive.root.unmaps:
        _answer(state, request)
    else:
        drive.root.traffic.requests.append(request)
    return request


def _answer(
    state: State,
    request: GuestRequest,
    errno: str = "",
    data: bytes = b"",
    extents: tuple[Extent, ...] = (),
) -> None:
    elapsed_ns = state.now_ns - request.arrived_ns
    console = request.report(errno, data, elapsed_ns) if request.report else ""
    request.ended = True
    state.outbox.append(GuestDone(request.id, errno, data, extents, console))


def _end(state: State, traffic: Traffic, request: GuestRequest, outcome: Outcome) -> None:
    """The request is over, with what its last disk request answered."""
    traffic.requests.remove(request)
    match outcome:
        case Failed(errno):
            _answer(state, request, errno)
        case bytes():
            _answer(state, request, data=outcome)
        case list():
            _answer(state, request, extents=tuple(outcome))
        case _:
            _answer(state, request)


def steps(state: State, traffic: Traffic) -> Iterator[Step]:
    """What the guest requests for one image can do next."""
    for request in traffic.requests:
        match request.phase:
            case Phase.ARRIVED:
                if may_start(state, traffic, request):
                    yield _start(traffic, request)
            case Phase.CBW_NEXT:
                if not waits_for_copy(request):
                    yield _start(traffic, request)
            case Phase.CBW_READ:
                yield _cbw_read(state, traffic, request)
            case Phase.CBW_WRITE:
                yield _cbw_write(state, traffic, request)
            case Phase.IN_FLIGHT:
                yield _finish(state, traffic, request)


def root(request: GuestRequest) -> Node:
    """The node at which the request comes in."""
    assert request.drive.root is not None, "a drive keeps its medium while requests are under way"
    return request.drive.root


@cites("GUEST-LIVE-1", "TX-RELEASE-1")
def may_start(state: State, traffic: Traffic, request: GuestRequest) -> bool:
    """Whether a request that has arrived may start: only a drain or an overlap holds it back."""
    jobs = (job for job in state.jobs if job.source.traffic is traffic)
    cluster_bytes = max([state.options.cluster_bytes, *(job.cluster_bytes for job in jobs)])
    earlier = traffic.requests[: traffic.requests.index(request)]
    return (
        not traffic.drained
        and not any(other.overlaps(request, cluster_bytes) for other in earlier)
        and not waits_for_copy(request)
    )


@cites("CBW-OVERLAP-1")
def waits_for_copy(request: GuestRequest) -> bool:
    """Whether a background copy is reading or writing a cluster that the request changes."""
    return request.op.changes and any(
        job.copy_overlaps(*request.span(job.cluster_bytes)) for job in root(request).filters()
    )


@cites("CBW-COPY-1", "CBW-ONCE-1", "CBW-PAUSE-1", "PIT-AFTER-1")
def cluster_to_copy(job: CopyBeforeWrite, request: GuestRequest) -> int | None:
    """The first cluster that the request would change and that is not on the job's target yet.

    The job's status does not matter: while it exists, paused or not, the old content is needed.
    """
    first, end = request.span(job.cluster_bytes)
    at = first_clear(job.copied, first, end)
    return None if at == end else at


def next_claim(request: GuestRequest) -> Claim | None:
    """What has to be copied before the request may go on, for the topmost backup first."""
    if not request.op.changes:
        return None
    for job in root(request).filters():
        cluster = None if job.broken else cluster_to_copy(job, request)
        if cluster is not None:
            return Claim(job, cluster)
    return None


def _start(traffic: Traffic, request: GuestRequest) -> Step:
    if next_claim(request) is not None:
        return _claim(traffic, request)
    label = Label("guest_start", traffic.index)

    def run(_: Outcome) -> Label:
        request.phase = Phase.IN_FLIGHT
        return label

    return Step(label, run)


def _claim(traffic: Traffic, request: GuestRequest) -> Step:
    label = Label("cbw_claim", traffic.index)

    def run(_: Outcome) -> Label:
        request.claim = next_claim(request)
        assert request.claim is not None, "a request with nothing to copy claims nothing"
        request.phase = Phase.CBW_READ
        return label

    return Step(label, run)


def _cbw_read(state: State, traffic: Traffic, request: GuestRequest) -> Step:
    claim = request.claim
    assert claim is not None
    label = Label("cbw_read", traffic.index, claim.cluster)
    source = root(request).performer
    offset_bytes, length_bytes = byte_span(
        claim.cluster, claim.cluster + 1, claim.job.cluster_bytes, source.size_bytes
    )

    def run(outcome: Outcome) -> Label:
        if isinstance(outcome, Failed):
            return _refuse(state, traffic, request, "fail_cbw_read", outcome)
        assert isinstance(outcome, bytes)
        request.old_content = outcome
        request.phase = Phase.CBW_WRITE
        return label

    return Step(label, run, DiskRequest(Op.READ, source.name, offset_bytes, length_bytes))


def _cbw_write(state: State, traffic: Traffic, request: GuestRequest) -> Step:
    claim = request.claim
    assert claim is not None
    label = Label("cbw_write", traffic.index, claim.cluster)

    def run(outcome: Outcome) -> Label:
        if isinstance(outcome, Failed):
            return _refuse(state, traffic, request, "fail_cbw_write", outcome)
        record(claim.job.target, offset_bytes, length_bytes)
        claim.job.mark_copied(claim.cluster, claim.cluster + 1)
        request.claim, request.old_content = None, b""
        more = next_claim(request) is not None
        request.phase = Phase.CBW_NEXT if more else Phase.IN_FLIGHT
        return label

    offset_bytes = claim.cluster * claim.job.cluster_bytes
    length_bytes = len(request.old_content)
    return Step(label, run, claim.job.write_request(offset_bytes, request.old_content))


@cites("CBW-ERROR-1")
def _refuse(
    state: State, traffic: Traffic, request: GuestRequest, name: str, failed: Failed
) -> Label:
    """Copy-before-write has failed, so the guest's write fails and the drive stays as it is.

    Or, if the client wants that, the backup fails, and the write goes on.
    """
    claim = request.claim
    assert claim is not None
    told = claim.job.break_off(name.removeprefix("fail_cbw_"), failed.errno)
    if told is not None:
        state.outbox.append(told)
        request.claim, request.old_content = None, b""
        request.phase = Phase.CBW_NEXT if next_claim(request) is not None else Phase.IN_FLIGHT
    else:
        _end(state, traffic, request, failed)
    return Label(name, traffic.index, claim.cluster, failed.errno)


@cites("GUEST-WRITE-1")
def _finish(state: State, traffic: Traffic, request: GuestRequest) -> Step:
    label = Label("guest_done", traffic.index)

    def run(outcome: Outcome) -> Label | None:
        if request.op.changes:
            record(root(request), request.offset_bytes, request.length_bytes)
        _end(state, traffic, request, outcome)
        return None if isinstance(outcome, Failed) else label

    op, node = Op(request.op), root(request).performer.name
    io = DiskRequest(op, node, request.offset_bytes, request.length_bytes, request.data)
    return Step(label, run, io)
