"""What the engine's state is to the model: the model's variables, but for those that are ghosts."""

from collections.abc import Mapping
from typing import Any, Final

from cleancut_conformance.agreement.bench import Bench, target_name
from cleancut_model.options import Options
from cleancut_reference.actions.bitmap import BitmapAction
from cleancut_reference.block.dirty_bitmap import DirtyBitmap
from cleancut_reference.block.traffic import GuestRequest, Phase
from cleancut_reference.jobs.job import COPIED, LEFT_OUT, Copy, Job
from cleancut_reference.transaction import Phase as TransactionPhase
from cleancut_reference.transaction import Transaction
from cleancut_spec.jobs import Status

VARIABLES: Final = ("js", "drained", "error", "g", "gc", "gv", "gbuf", "b", "bc", "bbuf", "src",
                    "tgt", "copied")  # fmt: skip
COPIES: Final = ("b", "bc", "bbuf")
EXTENTS: Final = ("tail", "glen", "blen", "reach")  # with a partial last cluster
PARTLY_TOLD: Final = ("todo",)  # what was frozen for a job is forgotten when the job is over

#: A guest request that has one more cluster to copy is, to the model, one that has arrived.
GUEST: Final = {
    Phase.ARRIVED: "ARRIVED",
    Phase.CBW_READ: "CBW_READ",
    Phase.CBW_WRITE: "CBW_WRITE",
    Phase.IN_FLIGHT: "WRITING",
}
TX: Final = {
    TransactionPhase.PREPARE: "PREPARE",
    TransactionPhase.COMMIT: "COMMIT",
    TransactionPhase.ROLLBACK: "ROLLBACK",
}

#: What a copy of nothing holds, which no model's does.
NO_BYTE: Final = -1

#: Phases in which what was done to bitmaps can be taken back, and changes that keep the bits.
UNDOABLE: Final = (TransactionPhase.PREPARE, TransactionPhase.ROLLBACK)
KEEPING: Final = ("clear", "merge")


def abstract(bench: Bench, options: Options) -> dict[str, Any]:
    """The engine's state by the names of the model's variables; None where it cannot be told."""
    found: dict[str, Any] = {name: [] for name in VARIABLES}
    found |= {name: [] for name in (*_bits_of(options), *(EXTENTS if options.tail else ()))}
    found |= _left(bench, options)
    found["tx"] = _transaction(bench)
    if options.changes:
        found |= _changes(bench, options)
    found["final"] = list(bench.finals)
    for drive in range(options.drives):
        listed = bench.job(drive)
        job = None if listed is None or listed.over else listed
        final = bench.finals[drive]
        found["js"].append(job_state(listed, final))
        found["error"].append(bool(job.error) if job else final == "FAILED")
        found["copied"].append(_copied(job, options))
        traffic = bench.traffic(drive)
        found["drained"].append(traffic.drained)
        _guest(found, bench, traffic.requests[0] if traffic.requests else None)
        _copies(found, job, options.workers)
        clusters = bench.disk.clusters
        found["src"].append(clusters(bench.source(drive), bench.cluster_bytes))
        found["tgt"].append(
            clusters(target_name(drive), bench.cluster_bytes)
            if bench.target(drive)
            else [0] * options.clusters
        )
        if options.tail:
            _reach(found, bench, drive, options)
        if options.sync == "top":
            _layer(found, bench, drive, job)
        elif options.records:
            _bits(found, bench.bitmap(drive), job, options)
    return found


def parted(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """The first variable of which both tell something else; the empty word if none."""
    for name, value in mine.items():
        other = theirs[name]
        if value == other:
            continue
        if name in PARTLY_TOLD and all(m in (None, t) for m, t in zip(value, other, strict=True)):
            continue
        if name not in COPIES or _copies_of(mine) != _copies_of(theirs):
            return name
    return ""


def _copies_of(state: Mapping[str, Any]) -> list[Any]:
    """The background copies of each drive, whichever is called the first."""
    rows = zip(*(state[name] for name in COPIES), strict=True)
    several = isinstance(state["b"][0], list)
    return [sorted(zip(*row, strict=True)) if several else row for row in rows]


def _reach(found: dict[str, Any], bench: Bench, drive: int, options: Options) -> None:
    """How far the copies under way go, as their requests say, and how far the target is written."""
    size_bytes, cluster_bytes = len(bench.disk.content[bench.source(drive)]), bench.cluster_bytes

    def extent(length_bytes: int, cluster: int) -> str:
        left_bytes = size_bytes - cluster * cluster_bytes
        words = {0: "NOTHING", left_bytes: "TO_END", cluster_bytes: "WHOLE"}
        return words.get(length_bytes, f"{length_bytes} bytes")

    going = {"cbw": "NOTHING", "copy": "NOTHING"}
    for step in bench.steps():
        if step.label is not None and step.label.drive == drive and step.io is not None:
            cluster = step.label.cluster or 0
            going[step.label.name.partition("_")[0]] = extent(step.io.length_bytes, cluster)
    held = bench.disk.held.get(target_name(drive), b"")
    starts = range(0, options.clusters * cluster_bytes, cluster_bytes)
    found["tail"].append([at + cluster_bytes > size_bytes for at in starts])
    found["glen"].append(going["cbw"])
    found["blen"].append(going["copy"])
    found["reach"].append(
        [extent(sum(held[at : at + cluster_bytes]), at // cluster_bytes) for at in starts]
    )


def _bits_of(options: Options) -> tuple[str, ...]:
    """The variables about bitmaps that an instance has."""
    return () if not options.records else ("dirty", "todo") if options.partial else ("dirty",)


def _copied(job: Job | None, options: Options) -> list[bool]:
    return [x == COPIED for x in job.copied] if job else [False] * options.clusters


def _bits(
    found: dict[str, Any], bitmap: DirtyBitmap | None, job: Job | None, options: Options
) -> None:
    """The engine freezes a bitmap when it makes the job, the model when it commits it.

    While no write can fall between the two, there is no difference.
    """
    assert bitmap is not None or options.changes, "a drive of these instances keeps its bitmap"
    begun = job is not None and job.status is not Status.CREATED
    records = bitmap.successor if bitmap and begun and bitmap.successor else bitmap
    none = bytes(options.clusters)
    found["dirty"].append([bool(bit) for bit in (records.bits if records else none)])
    if options.bitmaps:
        assert bitmap is not None
        found["todo"].append([bool(bit) for bit in bitmap.bits] if begun else None)


def _changes(bench: Bench, options: Options) -> dict[str, Any]:
    """What the transaction has done to the bitmaps, and the bits that it can put back."""
    bitmaps = [bench.bitmap(drive) for drive in range(options.drives)]
    backup = [[False] * options.clusters for _ in bitmaps]
    current = bench.engine.current
    undoable = isinstance(current, Transaction) and current.phase in UNDOABLE
    for action in current.actions if isinstance(current, Transaction) and undoable else ():
        if isinstance(action, BitmapAction) and action.before and action.before.bitmap:
            drive = action.before.node.index
            if bench.changed[drive] in KEEPING:
                backup[drive] = [bool(bit) for bit in action.before.bits]
    return {
        "there": [bitmap is not None for bitmap in bitmaps],
        "on": [bitmap is not None and bitmap.enabled for bitmap in bitmaps],
        "change": [bench.changed.get(d, "unchanged").upper() for d in range(options.drives)],
        "backup": backup,
    }


def _layer(found: dict[str, Any], bench: Bench, drive: int, job: Job | None) -> None:
    """With sync top the record is the image itself: what it holds lies above another image."""
    held = bench.disk.held[bench.source(drive)]
    found["dirty"].append([bool(held[at]) for at in range(0, len(held), bench.cluster_bytes)])
    begun = job is not None and job.status is not Status.CREATED
    found["todo"].append([x != LEFT_OUT for x in job.copied] if job and begun else None)


def _left(bench: Bench, options: Options) -> dict[str, Any]:
    """What the instance still allows of guest writes, errors and transactions; who is there."""
    found: dict[str, Any] = {}
    if options.writes is not None:
        found["writes_left"] = options.writes - bench.arrived
    if options.errors is not None:
        found["errors_left"] = [options.errors - count for count in bench.failures]
    if options.leaves:
        found["connected"] = bench.connected
    if options.repeats and options.again is not None:
        found["again_left"] = options.again - bench.over
    return found


def _transaction(bench: Bench) -> str:
    current = bench.engine.current
    if isinstance(current, Transaction):
        return TX[current.phase]
    return {"reply": "DONE", "refuse": "FAILED"}.get(bench.outcome, "IDLE")


def job_state(job: Job | None, final: str) -> str:
    """What the model calls a job's state; `final` is its drive's final event."""
    if job is None:
        return "NONE" if final == "NO_EVENT" else "GONE"
    if job.over:
        return "CONCLUDED"
    if job.ending:
        return "ABORTING"
    if job.status in (Status.CREATED, Status.WAITING, Status.PENDING):
        return str(job.status).upper()
    return "PAUSED" if job.user_paused else "RUNNING"


def _guest(found: dict[str, Any], bench: Bench, request: GuestRequest | None) -> None:
    if request is None:
        values: tuple[Any, ...] = ("G_IDLE", 0, 0, 0)
    else:
        cluster = request.offset_bytes // bench.cluster_bytes
        old = request.old_content[0] if request.old_content else 0
        values = (GUEST[request.phase], cluster, request.data[0], old)
    for name, value in zip(("g", "gc", "gv", "gbuf"), values, strict=True):
        found[name].append(value)


def _copies(found: dict[str, Any], job: Job | None, workers: int) -> None:
    told = [_copy(copy) for copy in job.in_flight] if job else []
    told += [("B_IDLE", 0, 0)] * (workers - len(told))
    rows = zip(*sorted(told), strict=True)
    for name, row in zip(COPIES, rows, strict=True):
        found[name].append(list(row) if workers > 1 else row[0])


def _copy(copy: Copy) -> tuple[str, int, int]:
    if copy.data is None:
        return "READ", copy.first, 0
    return "WRITE", copy.first, copy.data[0] if copy.data else NO_BYTE
