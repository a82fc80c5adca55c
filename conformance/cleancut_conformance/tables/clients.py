"""A client that hangs up, and a server that is killed, at each phase of a job."""

from collections.abc import Iterator
from typing import Final

from cleancut_conformance.tables import phases, verbs
from cleancut_conformance.tables import words as w
from cleancut_conformance.tables.words import Data, Table


def _reconnect_rows() -> Iterator[Data]:
    for status in verbs.HELD:
        there = {"id": "d0", "status": str(status)}
        concluded = w.until("query-jobs", {"$has": {"id": "d0", "status": "concluded"}})
        yield {
            "id": str(status),
            "title": f"the client hangs up while the job is {status}, and the next one ends it",
            "clauses": ["JOB-LIST-1", "QMP-GREET-1", "PIT-ONE-1"],
            "needs": ["files", "guest-io"],
            "given": {"drives": verbs.drives(status)},
            "steps": [
                *verbs.begin(status),
                {"reconnect": True},
                w.returns("query-jobs", {"$has": there}),
                w.guest("d0", "write -P 0xd1 512k 64k"),
                {"observe": [{"image": "d0.target"}]},
                *phases.ON[status],
                concluded,
                w.send("job-dismiss", id="d0"),
            ],
            "then": [w.equals("d0.target", "d0@cut")],
        }


def _kill_rows() -> Iterator[Data]:
    for status in verbs.HELD:
        yield {
            "id": str(status),
            "title": f"the server is killed while the job is {status}, and starts again",
            "clauses": ["EV-SOURCE-1", "GUEST-WRITE-1", "CBW-ONCE-1", "JOB-FREE-1"],
            "needs": ["files", "guest-io", "process"],
            "given": {"drives": verbs.drives(status)},
            "steps": [
                *verbs.begin(status),
                w.guest("d0", "write -P 0xd1 512k 64k"),
                {"kill": True},
                {"observe": [w.equals("d0", "d0@now", "EV-SOURCE-1"), {"image": "d0.target"}]},
                {"restart": True},
                w.NO_JOBS,
                w.guest("d0", "read -P 0xd1 512k 64k"),
                w.drive_backup("d0", "$again"),
                w.ends("d0"),
            ],
            "then": [w.equals("again", "d0@cut"), w.equals("d0", "d0@now", "GUEST-WRITE-1")],
        }


def _nth_rows() -> Iterator[Data]:
    """The n-th read or write of a job fails, wherever it goes."""
    for op, nth in ((op, nth) for op in ("read", "write") for nth in (1, 2, 3, 4)):
        node, side = ("d0", "source") if op == "read" else ("d0.target", "target")
        yield {
            "id": f"{op}-{nth}",
            "title": f"{op} number {nth} of a job fails, stops it and is done again",
            "clauses": ["POLICY-STOP-1", "JOB-RESUME-1"],
            "needs": ["files", "fault"],
            "given": {
                "drives": {"d0": "4M"},
                "files": {"d0.target": {"size": "4M"}},
                "faults": [{"node": node, "op": op, "nth": nth, "errno": "EIO"}],
            },
            "steps": [
                {"send": {"execute": "drive-backup",
                          "arguments": w.existing("d0") | {f"on-{side}-error": "stop"}}},
                w.expect("BLOCK_JOB_ERROR", device="d0", operation=op, action="stop"),
                w.until("query-block-jobs", [{"device": "d0", "status": "paused"}]),
                w.send("block-job-resume", device="d0"),
                w.expect("BLOCK_JOB_COMPLETED", device="d0", error=w.ABSENT),
                w.ends("d0"),
            ],
            "then": [w.equals("d0.target", "d0@cut")],
        }  # fmt: skip


TABLES: Final = (
    Table("jobs/hang-up", "what a server does for a client that has gone differs by what the job "
          "is about to tell it", _reconnect_rows),
    Table("jobs/killed", "what is on the disks differs by how far the job was", _kill_rows, {
        status: "a write that has ended is on the disk, and not only in the memory of a server"
        for status in ("running", "waiting")
    }),
    Table("policy/nth", "the first, the last and the requests between them are submitted and "
          "waited for in different places", _nth_rows),
)  # fmt: skip
