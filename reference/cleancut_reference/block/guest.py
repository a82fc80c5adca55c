"""Guest requests: copy-before-write, then the drive.

A write to a cluster that a backup still needs takes three steps before its own: claim the cluster,
read it, write it to the target. A drained drive starts no request, but lets those in flight finish.
"""

from collections.abc import Callable, Iterator

from cleancut_reference.arithmetic import byte_span
from cleancut_reference.bitmap import first_clear
from cleancut_reference.block.drive import Drive, GuestOp, GuestRequest, Phase
from cleancut_reference.block.request import DiskRequest, Failed, Op, Outcome
from cleancut_reference.outputs import GuestDone
from cleancut_reference.state import State
from cleancut_reference.step import Step
from cleancut_spec import cites
from cleancut_spec.schedule import Label


def submit(
    state: State,
    drive: Drive,
    op: GuestOp,
    offset_bytes: int,
    length_bytes: int,
    data: bytes = b"",
    report: Callable[[str, bytes], str] | None = None,
) -> GuestRequest:
    """A guest request arrives; one past the end of the drive fails at once."""
    request = GuestRequest(state.next_request, op, offset_bytes, length_bytes, data)
    request.report = report
    state.next_request += 1
    drive.requests.append(request)
    if drive.size_bytes is None:
        _end(state, drive, request, "ENOMEDIUM")
    elif offset_bytes + length_bytes > drive.size_bytes:
        _end(state, drive, request, "EIO")
    return request


def _end(
    state: State, drive: Drive, request: GuestRequest, errno: str = "", data: bytes = b""
) -> None:
    drive.requests.remove(request)
    console = request.report(errno, data) if request.report else ""
    state.outbox.append(GuestDone(request.id, errno, data, console))


def steps(state: State, drive: Drive) -> Iterator[Step]:
    """What the guest requests of a drive can do next."""
    for request in drive.requests:
        match request.phase:
            case Phase.ARRIVED:
                if may_start(state, drive, request):
                    yield _start(drive, request)
            case Phase.CBW_NEXT:
                if not waits_for_copy(drive, request):
                    yield _start(drive, request)
            case Phase.CBW_READ:
                yield _cbw_read(state, drive, request)
            case Phase.CBW_WRITE:
                yield _cbw_write(state, drive, request)
            case Phase.IN_FLIGHT:
                yield _finish(state, drive, request)


@cites("GUEST-LIVE-1", "TX-RELEASE-1")
def may_start(state: State, drive: Drive, request: GuestRequest) -> bool:
    """Whether a request that has arrived may start: only a drain or an overlap holds it back."""
    cluster_bytes = state.options.cluster_bytes
    earlier = drive.requests[: drive.requests.index(request)]
    return (
        not drive.drained
        and not any(other.overlaps(request, cluster_bytes) for other in earlier)
        and not waits_for_copy(drive, request)
    )


@cites("CBW-OVERLAP-1")
def waits_for_copy(drive: Drive, request: GuestRequest) -> bool:
    """Whether the background copy is reading or writing a cluster that the request changes."""
    if drive.job is None or request.op is not GuestOp.WRITE:
        return False
    return drive.job.copy_overlaps(*request.span(drive.job.cluster_bytes))


@cites("CBW-COPY-1", "CBW-ONCE-1", "CBW-PAUSE-1", "PIT-AFTER-1")
def cluster_to_copy(drive: Drive, request: GuestRequest) -> int | None:
    """The first cluster that the request would change and that is not on the target yet.

    The job's status does not matter: while it exists, paused or not, the old content is needed.
    """
    if drive.job is None or request.op is not GuestOp.WRITE:
        return None
    first, end = request.span(drive.job.cluster_bytes)
    at = first_clear(drive.job.copied, first, end)
    return None if at == end else at


def _start(drive: Drive, request: GuestRequest) -> Step:
    if cluster_to_copy(drive, request) is not None:
        return _claim(drive, request)
    label = Label("guest_start", drive.index)

    def run(_: Outcome) -> Label:
        request.phase = Phase.IN_FLIGHT
        return label

    return Step(label, run)


def _claim(drive: Drive, request: GuestRequest) -> Step:
    label = Label("cbw_claim", drive.index)

    def run(_: Outcome) -> Label:
        request.claimed = cluster_to_copy(drive, request)
        assert request.claimed is not None, "a request with nothing to copy claims nothing"
        request.phase = Phase.CBW_READ
        return label

    return Step(label, run)


def _cbw_read(state: State, drive: Drive, request: GuestRequest) -> Step:
    assert drive.job is not None and request.claimed is not None
    label = Label("cbw_read", drive.index, request.claimed)
    assert drive.size_bytes is not None
    offset_bytes, length_bytes = byte_span(
        request.claimed, request.claimed + 1, drive.job.cluster_bytes, drive.size_bytes
    )

    def run(outcome: Outcome) -> Label:
        if isinstance(outcome, Failed):
            return _refuse(state, drive, request, "fail_cbw_read", outcome.errno)
        assert isinstance(outcome, bytes)
        request.old_content = outcome
        request.phase = Phase.CBW_WRITE
        return label

    return Step(label, run, DiskRequest(Op.READ, drive.name, offset_bytes, length_bytes))


def _cbw_write(state: State, drive: Drive, request: GuestRequest) -> Step:
    job = drive.job
    assert job is not None and request.claimed is not None
    label = Label("cbw_write", drive.index, request.claimed)

    def run(outcome: Outcome) -> Label:
        if isinstance(outcome, Failed):
            return _refuse(state, drive, request, "fail_cbw_write", outcome.errno)
        assert request.claimed is not None
        job.mark_copied(request.claimed, request.claimed + 1)
        request.claimed, request.old_content = None, b""
        more = cluster_to_copy(drive, request) is not None
        request.phase = Phase.CBW_NEXT if more else Phase.IN_FLIGHT
        return label

    offset_bytes = request.claimed * job.cluster_bytes
    length_bytes = len(request.old_content)
    io = DiskRequest(Op.WRITE, job.target_node, offset_bytes, length_bytes, request.old_content)
    return Step(label, run, io)


@cites("CBW-ERROR-1")
def _refuse(state: State, drive: Drive, request: GuestRequest, name: str, errno: str) -> Label:
    """Copy-before-write has failed, so the guest's write fails and the drive stays as it is."""
    cluster = request.claimed
    _end(state, drive, request, errno)
    return Label(name, drive.index, cluster, errno)


@cites("GUEST-WRITE-1")
def _finish(state: State, drive: Drive, request: GuestRequest) -> Step:
    label = Label("guest_done", drive.index)

    def run(outcome: Outcome) -> Label | None:
        if isinstance(outcome, Failed):
            _end(state, drive, request, outcome.errno)
            return None
        _end(state, drive, request, data=outcome if isinstance(outcome, bytes) else b"")
        return label

    if request.op is GuestOp.FLUSH:
        return Step(label, run)
    op = Op.READ if request.op is GuestOp.READ else Op.WRITE
    io = DiskRequest(op, drive.name, request.offset_bytes, request.length_bytes, request.data)
    return Step(label, run, io)
