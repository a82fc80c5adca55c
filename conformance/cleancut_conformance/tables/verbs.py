"""What a client can ask of a job, in each status that it can be held in."""

from collections.abc import Iterator
from itertools import product
from typing import Any, Final

from cleancut_conformance.tables import words as w
from cleancut_conformance.tables.words import Data, Table
from cleancut_spec.jobs import ALLOWED, Status, Verb

#: The statuses in which a job can be held.
HELD: Final = (Status.RUNNING, Status.PAUSED, Status.WAITING, Status.PENDING, Status.CONCLUDED)

_SLOW: Final = 65536  # bytes a second, of 4 MiB


def begin(status: Status) -> list[Data]:
    """Steps after which the job d0 is in this status and stays there."""
    if status is Status.WAITING:
        slow = w.action("drive-backup", **w.backup("d1", speed=_SLOW))
        quick = w.action("drive-backup", **w.backup("d0", auto_dismiss=False))
        return [
            w.transaction(quick, slow, grouped=True),
            w.until("query-jobs", {"$has": {"id": "d0", "status": "waiting"}}),
        ]
    if status is Status.PENDING:
        start = w.drive_backup("d0", auto_finalize=False, auto_dismiss=False)
        return [start, w.expect("BLOCK_JOB_PENDING", id="d0")]
    if status is Status.CONCLUDED:
        start = w.drive_backup("d0", auto_dismiss=False)
        return [start, w.until("query-jobs", [{"id": "d0", "status": "concluded"}])]
    start = w.drive_backup("d0", speed=_SLOW, auto_dismiss=False)
    if status is Status.RUNNING:
        return [start, w.until("query-jobs", [{"id": "d0", "status": "running"}])]
    stopped = w.until("query-jobs", [{"id": "d0", "status": "paused"}])
    return [start, w.send("block-job-pause", device="d0"), stopped]


def drives(status: Status) -> Data:
    """What the steps need."""
    return {"d0": "1M", "d1": "4M"} if status is Status.WAITING else {"d0": "4M"}


def _request(verb: Verb, block: bool) -> Data:
    prefix = "block-job" if block else "job"
    name = "id" if not block or verb in (Verb.FINALIZE, Verb.DISMISS) else "device"
    words: Data = {name: "d0"} | ({"speed": 1 << 20} if verb is Verb.SET_SPEED else {})
    return {"send": {"execute": f"{prefix}-{verb}", "arguments": words}}


def _accepted(verb: Verb, status: Status, block: bool) -> bool:
    """The table, and what it leaves to the verb itself: a pause is not nested."""
    if verb is Verb.PAUSE:
        return status is Status.RUNNING
    if verb is Verb.RESUME:
        return status is Status.PAUSED
    if verb is Verb.CANCEL and block and status is Status.PAUSED:
        return False  # without force
    return status in ALLOWED[verb]


def _effect(verb: Verb) -> list[Data]:
    listed: dict[Verb, Any] = {
        Verb.PAUSE: w.until("query-jobs", [{"id": "d0", "status": "paused"}]),
        Verb.RESUME: w.until("query-jobs", [{"id": "d0", "status": "running"}]),
        Verb.SET_SPEED: w.returns("query-block-jobs", [{"device": "d0", "speed": 1 << 20}]),
        Verb.CANCEL: w.expect("BLOCK_JOB_CANCELLED", device="d0"),
        Verb.FINALIZE: w.expect("BLOCK_JOB_COMPLETED", device="d0", error=w.ABSENT),
        Verb.DISMISS: w.expect("JOB_STATUS_CHANGE", id="d0", status="null"),
    }
    return [listed[verb]]


_CLAUSES: Final = {
    Verb.PAUSE: "JOB-PAUSE-1",
    Verb.RESUME: "JOB-RESUME-1",
    Verb.SET_SPEED: "JOB-SPEED-2",
    Verb.CANCEL: "JOB-CANCEL-1",
    Verb.FINALIZE: "JOB-MANUAL-1",
    Verb.DISMISS: "JOB-MANUAL-2",
}


def _rows() -> Iterator[Data]:
    for status, verb, block in product(HELD, Verb, (True, False)):
        if verb is Verb.SET_SPEED and not block:
            continue
        accepted, request = _accepted(verb, status, block), _request(verb, block)
        unchanged = w.returns("query-jobs", {"$has": {"id": "d0", "status": str(status)}})
        name = request["send"]["execute"]
        steps = [request, *_effect(verb)] if accepted else [w.refused(request), unchanged]
        yield {
            "id": f"{status}-{name}",
            "title": f"{name} of a job that is {status} is {'done' if accepted else 'refused'}",
            "clauses": [_CLAUSES[verb] if accepted else "JOB-VERB-1", "JOB-STATUS-1"],
            "needs": ["files"],
            "given": {"drives": drives(status)},
            "steps": [*begin(status), *steps],
        }


TABLES: Final = (
    Table("jobs/verb", "each cell of the job-status table is an own line of the contract", _rows),
)
