"""`blockdev-create`: what the job does, and what a client can ask of it.

What is wrong with the image the job only says at its end.
"""

from collections.abc import Generator, Iterator, Mapping
from typing import Any, Final

from cleancut_reference import errors
from cleancut_reference.block.description import Reader
from cleancut_reference.block.node import Node
from cleancut_reference.block.request import DiskRequest, Op, Opened, Outcome
from cleancut_reference.errors import QmpError
from cleancut_reference.image.qcow2.layout import CLUSTER_BITS, REFCOUNT_ORDERS
from cleancut_reference.image.qcow2.opening import DEFAULT_CLUSTER_BYTES
from cleancut_reference.jobs.creation import Creation, Making
from cleancut_reference.procedure import refuse_failed
from cleancut_reference.sizes import SECTOR_BYTES
from cleancut_reference.state import State
from cleancut_reference.step import Step
from cleancut_reference.target import undo_request
from cleancut_spec import cites
from cleancut_spec.jobs import ALLOWED, Status, Verb

Options = Mapping[str, Any]

#: What else an image of QEMU's can have, and how it is said that it has not.
_REFUSED: Final[Mapping[str, object]] = {
    "version": "v3", "data-file": None, "data-file-raw": False, "extended-l2": False,
    "encrypt": None, "preallocation": "off", "compression-type": "zlib", "nocow": False,
}  # fmt: skip


def blockdev_create(state: State, arguments: dict[str, Any]) -> Any:
    """Start to make an image, in a file or in what a node holds."""
    options, job_id = arguments["options"], arguments["job-id"]
    if options["driver"] not in _MAKERS:
        raise errors.generic("Driver does not support blockdev-create")
    state.check_job_id(job_id)
    job = Creation(job_id, _MAKERS[options["driver"]](state, options))
    state.creations.append(job)
    for status in (Status.CREATED, Status.RUNNING):
        state.outbox.append(job.move(status))
    job.go_on()
    return {}


def steps(state: State) -> Iterator[Step]:
    """What each job of this kind does next."""
    for job in state.creations:
        if job.request is not None:
            yield Step(None, job.go_on, job.request)
        elif job.done and not job.over:
            yield _end(state, job)


def _end(state: State, job: Creation) -> Step:
    def run(_: Outcome) -> None:
        if job.cancelled:
            job.error = job.error or errors.strerror("ECANCELED")
        way = [Status.ABORTING] if job.error else [Status.WAITING, Status.PENDING]
        for status in (*way, Status.CONCLUDED):
            state.outbox.append(job.move(status))

    return Step(None, run)


@cites("JOB-VERB-1")
def ask(state: State, job: Creation, verb: Verb) -> Any:
    """What a client asks of such a job; raises QmpError. It never pauses, whatever it is told."""
    if verb is Verb.RESUME:
        raise errors.generic("Can't resume a job that was not paused")
    if job.status not in ALLOWED[verb]:
        raise errors.wrong_status(job.id, job.status, verb)
    if verb is Verb.CANCEL:
        job.cancelled = True
    elif verb is Verb.DISMISS:
        state.outbox.append(job.move(Status.NULL))
        state.creations.remove(job)
    return {}


def _make_file(state: State, options: Options) -> Making:
    """A file of a size, which is emptied if it is there."""
    _check_features(options)
    description = {"driver": "file", "filename": options["filename"]}
    name = options["filename"]
    if not name:
        raise errors.generic(f"Could not create '': {errors.strerror('ENOENT')}")
    opened = yield from _open(state, description, create=True)
    try:
        if opened.identity in state.graph.identities():
            raise errors.generic('Failed to get "resize" lock')
        if options["size"] < 0:
            raise errors.generic(f"Could not resize file: {errors.strerror('EINVAL')}")
        refuse_failed((yield DiskRequest(Op.FORMAT, opened.name, length_bytes=options["size"])))
    except QmpError:
        yield undo_request(opened)
        raise
    yield DiskRequest(Op.CLOSE, opened.name, nodes=(opened.name,))


def _make_qcow2(state: State, options: Options) -> Making:
    """A qcow2 image in a node's bytes, or in those of a node that is opened for it."""
    if isinstance(options["file"], str):
        node = state.graph.find(options["file"])
        _check_writable(state, node)
        request = _make_request(node.performer.name, options)
        outcome = yield request
        refuse_failed(outcome)
        assert isinstance(outcome, dict)
        for below in node.same_bytes():
            below.size_bytes = outcome[request.node]["size"]
        return
    opened = yield from _open(state, options["file"])
    try:
        refuse_failed((yield _make_request(opened.name, options)))
    finally:
        yield undo_request(opened)


def _check_writable(state: State, node: Node) -> None:
    """Refuse a node that is read-only, or that somebody counts on; raises QmpError."""
    if node.read_only:
        raise errors.generic("Block node is read-only")
    unnamed = errors.UNNAMED.format(node.name)
    state.graph.check_permission(node, "write", unnamed)


def _make_request(node: str, options: Options) -> DiskRequest:
    """What makes the image; raises QmpError where it cannot be, in QEMU's order."""
    size_bytes, cluster_bytes = options["size"], options.get("cluster-size", DEFAULT_CLUSTER_BYTES)
    bits = options.get("refcount-bits", 16)
    if size_bytes % SECTOR_BYTES:
        raise errors.generic(f"Image size must be a multiple of {SECTOR_BYTES} bytes")
    if cluster_bytes not in {1 << each for each in CLUSTER_BITS}:
        raise errors.generic("Cluster size must be a power of two between 512 and 2048k")
    if "backing-fmt" in options and "backing-file" not in options:
        raise errors.generic("Backing format cannot be used without backing file")
    if bits not in {1 << order for order in REFCOUNT_ORDERS}:
        raise errors.generic("Refcount width must be a power of two and may not exceed 64 bits")
    _check_features(options)
    if size_bytes < 0:
        raise errors.generic("Could not resize image: Image size cannot be negative")
    said = {
        "cluster_bytes": cluster_bytes,
        "refcount_bits": bits,
        "lazy_refcounts": options.get("lazy-refcounts", False),
        "backing_file": options.get("backing-file"),
        "backing_format": options.get("backing-fmt"),
    }
    return DiskRequest(Op.MAKE, node, length_bytes=size_bytes, options=said)


def _check_features(options: Options) -> None:
    """Refuse what images have in QEMU and have not here; raises QmpError."""
    if options["driver"] == "file" and options.get("preallocation") == "metadata":
        raise errors.generic("Unsupported preallocation mode: metadata")
    for key, usual in _REFUSED.items():
        if key in options and options[key] != usual:
            what = f"Parameter '{key}' of driver '{options['driver']}'"
            raise errors.generic(f"{what} is not supported by this server")


def _open(
    state: State, description: Options, create: bool = False
) -> Generator[DiskRequest, Outcome, Opened]:
    """Open what is no node of the graph, for as long as the image is made; raises QmpError."""
    plan = Reader(state.graph).read(description)
    next_name = state.graph.next_name
    outcome = yield DiskRequest(
        Op.OPEN, plan.name, blueprint=plan, create=create, next_name=next_name
    )
    refuse_failed(outcome)
    assert isinstance(outcome, Opened)
    return outcome


_MAKERS: Final = {"file": _make_file, "qcow2": _make_qcow2}
