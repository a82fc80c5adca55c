"""What the engine's state is to the model: the model's variables, but for those that are ghosts."""

from typing import Any, Final

from cleancut_conformance.agreement.bench import CLUSTER_BYTES, Bench
from cleancut_model.options import Options
from cleancut_reference.block.traffic import GuestRequest, Phase
from cleancut_reference.jobs.job import Copy, Job
from cleancut_reference.transaction import Phase as TransactionPhase
from cleancut_reference.transaction import Transaction
from cleancut_spec.jobs import Status

VARIABLES: Final = ("js", "drained", "error", "g", "gc", "gv", "gbuf", "b", "bc", "bbuf", "src",
                    "tgt", "copied")  # fmt: skip

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


def abstract(bench: Bench, options: Options) -> dict[str, Any]:
    """The engine's state by the names of the model's variables."""
    found: dict[str, Any] = {name: [] for name in VARIABLES}
    found["tx"] = _transaction(bench)
    found["final"] = list(bench.finals)
    for drive in range(options.drives):
        listed = bench.job(drive)
        job = None if listed is None or listed.over else listed
        final = bench.finals[drive]
        found["js"].append(job_state(listed, final))
        found["error"].append(bool(job.error) if job else final == "FAILED")
        found["copied"].append([bool(x) for x in job.copied] if job else [False] * options.clusters)
        traffic = bench.traffic(drive)
        found["drained"].append(traffic.drained)
        _guest(found, traffic.requests[0] if traffic.requests else None)
        _copy(found, job.in_flight[0] if job and job.in_flight else None)
        found["src"].append(bench.disk.images[bench.source(drive)].clusters())
        target = bench.disk.files.get(f"d{drive}.target")
        found["tgt"].append(
            target.clusters() if target and target.content else [0] * options.clusters
        )
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


def _guest(found: dict[str, Any], request: GuestRequest | None) -> None:
    if request is None:
        values: tuple[Any, ...] = ("G_IDLE", 0, 0, 0)
    else:
        cluster = request.offset_bytes // CLUSTER_BYTES
        old = request.old_content[0] if request.old_content else 0
        values = (GUEST[request.phase], cluster, request.data[0], old)
    for name, value in zip(("g", "gc", "gv", "gbuf"), values, strict=True):
        found[name].append(value)


def _copy(found: dict[str, Any], copy: Copy | None) -> None:
    if copy is None:
        values: tuple[Any, ...] = ("B_IDLE", 0, 0)
    elif copy.data is None:
        values = ("READ", copy.first, 0)
    else:
        values = ("WRITE", copy.first, copy.data[0])
    for name, value in zip(("b", "bc", "bbuf"), values, strict=True):
        found[name].append(value)
