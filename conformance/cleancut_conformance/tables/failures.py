"""Action k of n fails, for all k and n up to four, in both completion modes."""

from collections.abc import Iterator
from itertools import product
from typing import Final

from cleancut_conformance.tables import words as w
from cleancut_conformance.tables.words import Data, Table

MOST: Final = 4
MODES: Final = ("individual", "grouped")
ORDINAL: Final = ("first", "second", "third", "fourth")


def _places() -> Iterator[tuple[int, int, str]]:
    for n, mode in product(range(1, MOST + 1), MODES):
        for k in range(n):
            yield k, n, mode


def _id(k: int, n: int, mode: str) -> str:
    return f"{ORDINAL[k]}-of-{n}-{mode}"


def _prepare_rows() -> Iterator[Data]:
    """The target of action k cannot be made."""
    for k, n, mode in _places():
        drives = [f"d{i}" for i in range(n)]
        lost = {drives[k]: f"$no/such/{drives[k]}.target"}
        yield _refused(k, n, mode, [w.backup(d, lost.get(d, "")) for d in drives], "no/such")


def _late_rows() -> Iterator[Data]:
    """The speed of action k is found to be wrong when all else of it is prepared."""
    for k, n, mode in _places():
        if mode == "grouped" and n > 2:
            continue  # what is taken back then is what `unmade` has already
        drives = [f"d{i}" for i in range(n)]
        more = {drives[k]: {"speed": -1}}
        actions = [w.backup(d) | more.get(d, {}) for d in drives]
        yield _refused(k, n, mode, actions, "speed")


def _refused(k: int, n: int, mode: str, actions: list[Data], about: str) -> Data:
    drives, grouped = [f"d{i}" for i in range(n)], mode == "grouped"
    first = [w.action("drive-backup", **data) for data in actions]
    again = [w.action("drive-backup", **w.backup(d, f"${d}.again")) for d in drives]
    return {
        "id": _id(k, n, mode),
        "title": f"the {ORDINAL[k]} of {n} {mode} actions fails, and nothing is left",
        "clauses": ["TX-ATOMIC-1", "TX-FAIL-1", "TX-FAIL-2", "TX-FAIL-3", "TX-FAIL-4",
                    "TX-RELEASE-1"],
        "needs": ["files", "guest-io"],
        "given": {"drives": dict.fromkeys(drives, "256k")},
        "steps": [
            w.refused(w.transaction(*first, grouped=grouped), about),
            w.NO_JOBS,
            {"pipeline": [w.guest(d, "write -P 0xa1 0 64k") for d in drives]
             + [w.guest(d, "read -P 0xa1 0 64k") for d in drives]},
            {"observe": [{"image": f"{d}.target", "absent": True, "clause": "TX-FAIL-1"}
                         for d in drives[k + 1:]] or [{"image": "d0"}]},
            {"observe": [{"image": d} for d in drives]},
            w.transaction(*again, grouped=grouped),
            w.ends(*drives),
        ],
        "then": [
            {"no-event": {"event": "BLOCK_JOB_CANCELLED"}, "clause": "TX-FAIL-3"},
            *(w.equals(f"{d}.again", f"{d}@cut", "TX-FAIL-4") for d in drives),
        ],
    }  # fmt: skip


def _copy_rows() -> Iterator[Data]:
    """The job of action k meets an error while it copies."""
    for k, n, mode in _places():
        drives, grouped = [f"d{i}" for i in range(n)], mode == "grouped"
        bad, others = drives[k], [d for d in drives if d != drives[k]]
        final = {"event": "BLOCK_JOB_CANCELLED"} if grouped else {"event": "BLOCK_JOB_COMPLETED"}
        yield {
            "id": _id(k, n, mode),
            "title": f"the job of the {ORDINAL[k]} of {n} {mode} actions fails",
            "clauses": ["TX-GROUP-2" if grouped else "EV-FINAL-2", "EV-FINAL-1", "TX-ATOMIC-1"],
            "needs": ["files", "fault"],
            "given": {
                "drives": dict.fromkeys(drives, "1M"),
                "files": {f"{d}.target": {"size": "1M"} for d in drives},
                # Always: QEMU tries again, and is silent, where the error meets a pause.
                "faults": [w.fault(f"{bad}.target", "write", "512k", "EIO", always=True)],
            },
            "steps": [
                w.transaction(*(w.action("drive-backup", **w.existing(d)) for d in drives),
                              grouped=grouped),
                w.ends(*drives),
            ],
            "then": [
                {"one-event": {"event": "BLOCK_JOB_COMPLETED",
                               "data": {"device": bad, "error": "Input/output error"}}},
                *({"one-event": final | {"data": {"device": d, "error": w.ABSENT}}}
                  for d in others),
                *(w.equals(f"{d}.target", f"{d}@cut") for d in others if not grouped),
            ],
        }  # fmt: skip


TABLES: Final = (
    Table("transaction/unmade", "rollback differs by how many actions were prepared before the "
          "one whose target cannot be made, and by the completion mode", _prepare_rows),
    Table("transaction/refused-late", "the failing action has a job and a target already when its "
          "speed is refused, so that it is taken back, too", _late_rows),
    Table("transaction/fails-copying", "who is cancelled depends on the mode, and must not depend "
          "on the place of the job that fails", _copy_rows),
)  # fmt: skip
