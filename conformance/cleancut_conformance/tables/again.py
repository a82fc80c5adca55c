"""Backups one after another: what the first one's end may leave behind for the second."""

from collections.abc import Iterator
from itertools import product
from typing import Final

from cleancut_conformance.tables import words as w
from cleancut_conformance.tables.words import Data, Table

#: How the first run ends; each leaves d0 free.
FIRST: Final[dict[str, list[Data]]] = {
    "success": [w.drive_backup("d0", "$first"), w.ends("d0")],
    "failure": [
        {"send": {"execute": "drive-backup", "arguments": w.existing("d0", "$bad")}},
        w.expect("BLOCK_JOB_COMPLETED", device="d0", error="Input/output error"),
        w.ends("d0"),
    ],
    "cancel": [
        w.drive_backup("d0", "$first", speed=65536),
        w.guest("d0", "write -P 0x41 3M 64k"),
        w.send("job-cancel", id="d0"),
        w.ends("d0"),
    ],
    "cancel-paused": [
        w.drive_backup("d0", "$first", speed=65536),
        w.send("job-pause", id="d0"),
        w.guest("d0", "write -P 0x41 3M 64k"),
        w.send("block-job-cancel", device="d0", force=True),
        w.ends("d0"),
    ],
    "cancel-pending": [
        w.drive_backup("d0", "$first", auto_finalize=False),
        w.expect("BLOCK_JOB_PENDING", id="d0"),
        w.send("job-cancel", id="d0"),
        w.ends("d0"),
    ],
    "refusal": [w.refused(w.drive_backup("d0", "$first", speed=-1)), w.NO_JOBS],
    "abort": [
        w.refused(w.transaction(w.action("drive-backup", **w.backup("d0", "$first")),
                                w.action("abort"))),
        w.NO_JOBS,
    ],
}  # fmt: skip

#: The second run: alone, in a transaction, in a group, to the file of the first.
SECOND: Final[dict[str, tuple[list[Data], list[str], str]]] = {
    "alone": ([w.drive_backup("d0", "$second")], ["d0"], "second"),
    "transaction": (
        [w.transaction(*(w.action("drive-backup", **w.backup(d, f"${d}.second"))
                         for d in ("d0", "d1")))],
        ["d0", "d1"], "d0.second",
    ),
    "group": (
        [w.transaction(*(w.action("drive-backup", **w.backup(d, f"${d}.second"))
                         for d in ("d1", "d0")), grouped=True)],
        ["d0", "d1"], "d0.second",
    ),
    "same-target": ([w.drive_backup("d0", "$first")], ["d0"], "first"),
}  # fmt: skip


def _rows() -> Iterator[Data]:
    for (first, steps), (second, (again, jobs, image)) in product(FIRST.items(), SECOND.items()):
        yield {
            "id": f"{second}-after-{first}",
            "title": f"a second backup, {second}, after {first}".replace("-", " "),
            "clauses": ["JOB-FREE-1", "PIT-ONE-1", "EV-LAST-1"],
            "needs": ["files", "guest-io", "fault"],
            "given": {
                "drives": {"d0": "4M", "d1": "1M"},
                "files": {"bad": {"size": "4M"}},
                "faults": [w.fault("bad", "write", "2M", "EIO")],
            },
            "steps": [
                *steps,
                w.guest("d0", "write -P 0x42 1M 128k"),
                {"observe": [w.equals("d0", "d0@now", "EV-SOURCE-1")]},
                {"pipeline": [*again, w.guest("d0", "write -P 0x43 1M 64k")]},
                w.ends(*jobs),
            ],
            "then": [w.equals(image, "d0@cut"), w.equals("d0", "d0@now", "GUEST-WRITE-1")],
        }


TABLES: Final = (
    Table("point-in-time/again", "what one backup leaves in the graph, the ids and the target is "
          "met by the next one only", _rows),
)  # fmt: skip
