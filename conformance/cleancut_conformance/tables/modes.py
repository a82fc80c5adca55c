"""What becomes of a bitmap: each mode, when the backup succeeds, fails or is cancelled."""

from collections.abc import Iterator
from itertools import product
from typing import Any, Final

from cleancut_conformance.tables import words as w
from cleancut_conformance.tables.words import Data, Table

#: sync and bitmap-mode; where that is absent, sync says it.
MODES: Final = (
    ("incremental", ""), ("incremental", "on-success"), ("bitmap", "on-success"),
    ("bitmap", "never"), ("bitmap", "always"), ("full", "on-success"), ("full", "always"),
)  # fmt: skip
OUTCOMES: Final = ("success", "failure", "cancel")

_OLD: Final = ((64, 0x11), (3072, 0x12))  # offset in KiB and byte of what is dirty before


def _kept(mode: str, outcome: str) -> int:
    """How many of the clusters that were dirty before are so afterwards."""
    if mode == "always":
        return 1 if outcome == "failure" else 0  # the one that could not be copied
    return 0 if mode != "never" and outcome == "success" else len(_OLD)


def _rows() -> Iterator[Data]:
    for (sync, mode), outcome in product(MODES, OUTCOMES):
        kept = _kept(mode or "on-success", outcome)
        after = 1 + (outcome != "failure")  # clusters written while the job exists
        count: Any = (kept + after) * 65536
        if (sync, mode, outcome) == ("full", "always", "failure"):
            count = {"$ge": count}  # and what else of the whole drive was not copied
        chain = mode != "always" or outcome == "success"
        yield {
            "id": "-".join(filter(None, (sync, mode, outcome))),
            "title": f"sync {sync}, bitmap mode {mode or 'by default'}: {outcome}",
            "clauses": ["BITMAP-MODE-1", "BITMAP-KEEP-1", "BITMAP-CHAIN-1", "BITMAP-BUSY-1"],
            "needs": ["files", "guest-io", "fault"],
            "given": {
                "drives": {"d0": "4M"},
                "files": {"lost": {"size": "4M"}},
                "faults": [w.fault("lost", "write", "3M", "EIO", always=True)],
            },
            "steps": [
                w.transaction(
                    w.action("block-dirty-bitmap-add", node="d0", name="b"),
                    w.action("drive-backup", **w.backup("d0", "$chain")),
                ),
                w.ends("d0"),
                *(w.guest("d0", f"write -P {byte} {at}k 64k") for at, byte in _OLD),
                *_job(sync, mode, outcome),
                w.ends("d0"),
                w.returns("query-block", [{"device": "d0", "inserted": {"dirty-bitmaps": [
                    {"name": "b", "count": count, "recording": True,
                     "busy": False}]}}]),
                w.drive_backup("d0", "$chain", mode="existing",
                               format="raw", sync="incremental", bitmap="b")
                if chain else w.guest("d0", "read -P 0x13 2M 64k"),
                *([w.expect("BLOCK_JOB_COMPLETED", device="d0", error=w.ABSENT,
                            len=count), w.ends("d0")] if chain else []),
            ],
            "then": [w.equals("chain", "d0@now", "BITMAP-CHAIN-1")] if chain else [],
        }  # fmt: skip


def _job(sync: str, mode: str, outcome: str) -> list[Data]:
    target = "$lost" if outcome == "failure" else "$chain"
    more: Data = {"bitmap-mode": mode} if mode else {}
    arguments = w.existing("d0", target, bitmap="b") | {"sync": sync} | more
    if outcome != "failure":
        arguments["auto-finalize"] = False
    start: Data = {"pipeline": [
        {"send": {"execute": "drive-backup", "arguments": arguments}},
        w.guest("d0", "write -P 0x13 2M 64k"),
    ]}  # fmt: skip
    if outcome == "failure":
        return [start, w.expect("BLOCK_JOB_COMPLETED", device="d0", error="Input/output error")]
    verb, event = {"success": ("job-finalize", "BLOCK_JOB_COMPLETED"),
                   "cancel": ("job-cancel", "BLOCK_JOB_CANCELLED")}[outcome]  # fmt: skip
    pending = w.expect("BLOCK_JOB_PENDING", id="d0")
    late = w.guest("d0", "write -P 0x14 512k 64k")
    return [start, pending, late, w.send(verb, id="d0"), w.expect(event, device="d0")]


TABLES: Final = (
    Table(
        "bitmaps/mode",
        "each combination of mode and outcome keeps other bits, and writes that come meanwhile "
        "are recorded in all of them",
        _rows,
    ),
)
