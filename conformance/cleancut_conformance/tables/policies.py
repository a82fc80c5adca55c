"""What an I/O error does to a job: each policy, on each side, with each errno, once and always.

And what it does to a guest's write that has to wait for a copy.
"""

from collections.abc import Iterator
from itertools import product
from typing import Final

from cleancut_conformance.tables import words as w
from cleancut_conformance.tables.words import Data, Table

TEXT: Final = {"EIO": "Input/output error", "ENOSPC": "No space left on device"}
CLAUSE: Final = {
    "report": "POLICY-REPORT-1",
    "ignore": "POLICY-IGNORE-1",
    "stop": "POLICY-STOP-1",
    "enospc": "POLICY-ENOSPC-1",
    "auto": "POLICY-ENOSPC-1",
    "default": "POLICY-REPORT-1",
}

#: A job that tries again for ever is slow enough that its errors do not flood the socket.
_ENDLESS: Final = {"speed": 16 << 20}


def _outcome(policy: str, errno: str) -> str:
    """What is done about the error."""
    if policy in ("enospc", "auto"):
        return "stop" if errno == "ENOSPC" else "report"
    return "report" if policy == "default" else policy


def _rows() -> Iterator[Data]:
    for policy, side, errno, times in product(
        CLAUSE, ("source", "target"), TEXT, ("once", "always")
    ):
        outcome, always = _outcome(policy, errno), times == "always"
        node, op = ("d0", "read") if side == "source" else ("d0.target", "write")
        wanted: Data = {} if policy == "default" else {f"on-{side}-error": policy}
        if always and outcome == "ignore":
            wanted |= _ENDLESS
        yield {
            "id": f"{side}-{policy}-{errno.lower()}-{times}",
            "title": f"{errno} at the {side}, {times}, with policy {policy}",
            "clauses": [CLAUSE[policy], "EV-ERROR-1", "EV-SOURCE-1"],
            "needs": ["files", "fault"],
            "given": {
                "drives": {"d0": "4M"},
                "files": {"d0.target": {"size": "4M"}},
                "faults": [w.fault(node, op, "2M", errno, always)],
            },
            "steps": [
                {"send": {"execute": "drive-backup", "arguments": w.existing("d0") | wanted}},
                w.expect("BLOCK_JOB_ERROR", device="d0", operation=op, action=outcome),
                *_STEPS[outcome](errno, op, always),
                w.ends("d0"),
            ],
            "then": [
                w.equals("d0", "d0@now", "EV-SOURCE-1"),
                *([] if always or outcome == "report" else [w.equals("d0.target", "d0@cut")]),
            ],
        }


def _report(errno: str, op: str, always: bool) -> list[Data]:
    return [w.expect("BLOCK_JOB_COMPLETED", device="d0", error=TEXT[errno])]


def _ignore(errno: str, op: str, always: bool) -> list[Data]:
    if not always:
        return [w.expect("BLOCK_JOB_COMPLETED", device="d0", error=w.ABSENT)]
    again = w.expect("BLOCK_JOB_ERROR", device="d0", operation=op, action="ignore")
    return [
        again,
        again,
        w.send("job-cancel", id="d0"),
        w.expect("BLOCK_JOB_CANCELLED", device="d0"),
    ]


def _stop(errno: str, op: str, always: bool) -> list[Data]:
    status = "nospace" if errno == "ENOSPC" else "failed"
    stopped = w.until("query-block-jobs", [{"device": "d0", "status": "paused",
                                            "io-status": status}])  # fmt: skip
    resumed = w.send("block-job-resume", device="d0")
    if not always:
        return [stopped, resumed, w.expect("BLOCK_JOB_COMPLETED", device="d0", error=w.ABSENT)]
    return [
        stopped,
        resumed,
        w.expect("BLOCK_JOB_ERROR", device="d0", operation=op, action="stop"),
        stopped,
        w.send("job-cancel", id="d0"),
        w.expect("BLOCK_JOB_CANCELLED", device="d0"),
    ]


_STEPS: Final = {"report": _report, "ignore": _ignore, "stop": _stop}


def _copy_rows() -> Iterator[Data]:
    """The copy before a guest's write fails: the write fails, or the backup does."""
    for choice, side, times in product(
        ("default", "break-guest-write", "break-snapshot"), ("read", "write"), ("once", "always")
    ):
        broken, always = choice == "break-snapshot", times == "always"
        wanted = {} if choice == "default" else {"on-cbw-error": choice}
        node = "d0" if side == "read" else "d0.target"
        write: Data = {**w.guest("d0", "write -P 0x51 3M 64k"), "result": "ok" if broken else "EIO"}
        yield {
            "id": f"{choice}-{side}-{times}",
            "title": f"a {side} before a guest's write fails {times}; on-cbw-error: {choice}",
            "clauses": ["CBW-ERROR-1", "PIT-ONE-1", "PIT-AFTER-1"],
            "needs": ["files", "guest-io", "fault"],
            "given": {
                "drives": {"d0": "4M"},
                "files": {"d0.target": {"size": "4M"}},
                "faults": [w.fault(node, side, "3M", "EIO", always)],
            },
            "steps": [
                {"send": {"execute": "drive-backup",
                          "arguments": w.existing("d0", speed=65536) | wanted}},
                write,
                {"observe": [w.equals("d0", "d0@now", "CBW-ERROR-1")]},
                w.guest("d0", "write -P 0x52 3584k 64k"),
                w.send("block-job-set-speed", reply={}, device="d0", speed=0),
                w.ends("d0"),
            ],
            # What else fails is the job's own copy of the cluster.
            "then": [
                w.equals("d0", "d0@now", "GUEST-WRITE-1"),
                {"image": "d0.target"},
                *([{"one-event": {"event": "BLOCK_JOB_COMPLETED", "data": {
                    "device": "d0", "error": TEXT["EIO"] if always else w.ABSENT}}}]
                  if not broken else []),
            ],
        }  # fmt: skip


TABLES: Final = (
    Table(
        "policy/error",
        "each cell of policy, side, errno and number of errors is an own line of the contract",
        _rows,
    ),
    Table(
        "policy/copy-first",
        "who bears an error of the copy before a write depends on the side and on whether the "
        "job's own copy of the cluster meets it, too",
        _copy_rows,
        {"break-snapshot-*-always": "the job's own copy fails as well, and ends it, also in 11.1"},
    ),
)
