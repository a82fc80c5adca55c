"""The arguments of the other commands at their edges: refused, and nothing has changed."""

from collections.abc import Iterator
from typing import Any, Final

from cleancut_conformance.tables import words as w
from cleancut_conformance.tables.words import Data, Table

_GONE: Final = object()  # the argument is left out

_BACKUP: Final[Data] = {"device": "d0", "target": "node", "sync": "full"}
_SPEED: Final[Data] = {"device": "d0", "speed": 0}
_ADD: Final[Data] = {"node": "d0", "name": "new"}
_MERGE: Final[Data] = {"node": "d0", "target": "b", "bitmaps": ["c"]}

#: Command, right arguments, the wrong one, name of the row, value, part of the description, clause.
WRONG: Final[tuple[tuple[str, Data, str, str, Any, str, str], ...]] = (
    ("blockdev-backup", _BACKUP, "device", "missing", _GONE, "device", "ARG-TYPE-1"),
    ("blockdev-backup", _BACKUP, "device", "unknown", "nobody", "nobody", "ARG-DEVICE-1"),
    ("blockdev-backup", _BACKUP, "target", "missing", _GONE, "target", "ARG-TYPE-1"),
    ("blockdev-backup", _BACKUP, "target", "unknown", "nobody", "nobody", "ARG-TARGET-1"),
    ("blockdev-backup", _BACKUP, "target", "source-itself", "d0", "", "ARG-TARGET-1"),
    ("blockdev-backup", _BACKUP, "target", "other-size", "small", "size", "ARG-SIZE-1"),
    ("blockdev-backup", _BACKUP, "target", "number", 1, "target", "ARG-TYPE-1"),
    ("blockdev-backup", _BACKUP, "sync", "missing", _GONE, "sync", "ARG-TYPE-1"),
    ("blockdev-backup", _BACKUP, "speed", "negative", -1, "speed", "ARG-SPEED-1"),
    ("blockdev-backup", _BACKUP, "mode", "not-its-own", "existing", "mode", "ARG-TYPE-1"),
    ("blockdev-backup", _BACKUP, "format", "not-its-own", "raw", "format", "ARG-TYPE-1"),
    ("blockdev-backup", _BACKUP, "job-id", "punctuation", "a b", "a b", "ARG-TYPE-1"),
    ("block-job-set-speed", _SPEED, "speed", "missing", _GONE, "'speed'", "ARG-TYPE-1"),
    ("block-job-set-speed", _SPEED, "speed", "too-big", 2**63, "'speed'", "ARG-SPEED-1"),
    ("block-job-set-speed", _SPEED, "speed", "fraction", 1.5, "'speed'", "ARG-SPEED-1"),
    ("block-job-set-speed", _SPEED, "device", "number", 0, "device", "ARG-TYPE-1"),
    ("block-job-cancel", {"device": "d0"}, "device", "missing", _GONE, "device", "ARG-TYPE-1"),
    ("block-job-cancel", {"device": "d0"}, "force", "number", 1, "force", "ARG-TYPE-1"),
    ("block-job-cancel", {"device": "d0"}, "id", "not-its-own", "d0", "id", "ARG-TYPE-1"),
    ("block-job-pause", {"device": "d0"}, "device", "list", [], "device", "ARG-TYPE-1"),
    ("block-job-finalize", {"id": "d0"}, "id", "missing", _GONE, "id", "ARG-TYPE-1"),
    ("job-cancel", {"id": "d0"}, "id", "missing", _GONE, "id", "ARG-TYPE-1"),
    ("job-cancel", {"id": "d0"}, "id", "null", None, "id", "ARG-TYPE-1"),
    ("job-cancel", {"id": "d0"}, "force", "not-its-own", True, "force", "ARG-TYPE-1"),
    ("job-pause", {"id": "d0"}, "id", "number", 1, "id", "ARG-TYPE-1"),
    ("block-dirty-bitmap-add", _ADD, "node", "missing", _GONE, "node", "ARG-TYPE-1"),
    ("block-dirty-bitmap-add", _ADD, "name", "missing", _GONE, "name", "ARG-TYPE-1"),
    ("block-dirty-bitmap-add", _ADD, "name", "taken", "b", "b", "BITMAP-NAME-1"),
    ("block-dirty-bitmap-add", _ADD, "name", "empty", "", "", "BITMAP-NAME-1"),
    ("block-dirty-bitmap-add", _ADD, "granularity", "no-power-of-two", 1000, "ranularity",
     "BITMAP-NAME-1"),
    ("block-dirty-bitmap-add", _ADD, "granularity", "below-a-sector", 256, "ranularity",
     "BITMAP-NAME-1"),
    ("block-dirty-bitmap-add", _ADD, "granularity", "too-big", 2**32, "ranularity",
     "BITMAP-NAME-1"),
    ("block-dirty-bitmap-add", _ADD, "disabled", "number", 0, "disabled", "ARG-TYPE-1"),
    ("block-dirty-bitmap-merge", _MERGE, "bitmaps", "text", "c", "bitmaps", "ARG-TYPE-1"),
    ("block-dirty-bitmap-merge", _MERGE, "bitmaps", "one-unknown", ["c", "x"], "x",
     "BITMAP-NAME-1"),
    ("block-dirty-bitmap-merge", _MERGE, "target", "unknown", "x", "x", "BITMAP-NAME-1"),
    ("block-dirty-bitmap-merge", _MERGE, "node", "unknown", "nobody", "nobody", "BITMAP-NAME-1"),
    ("block-dirty-bitmap-clear", {"node": "d0", "name": "b"}, "name", "unknown", "x", "x",
     "BITMAP-NAME-1"),
    ("block-dirty-bitmap-disable", {"node": "d0", "name": "b"}, "node", "number", 0, "node",
     "ARG-TYPE-1"),
)  # fmt: skip

_BITMAPS: Final[Data] = {"$has": {"device": "d0", "inserted": {"dirty-bitmaps": {"$has": {
    "name": "b", "count": 65536, "recording": True}}}}}  # fmt: skip


def _rows() -> Iterator[Data]:
    for command, right, argument, name, value, about, clause in WRONG:
        arguments = {k: v for k, v in right.items() if k != argument}
        arguments |= {} if value is _GONE else {argument: value}
        request = {"send": {"execute": command, "arguments": arguments}}
        of_job = "job" in command
        yield {
            "id": f"{command}-{argument}-{name}",
            "title": f"{command} with {argument} {name.replace('-', ' ')} is refused",
            "clauses": [clause],
            "needs": ["files", "guest-io"],
            "given": {"drives": {"d0": "256k"},
                      "files": {"there": {"size": "256k"}, "tiny": {"size": "64k"}}},
            "steps": [*(_job() if of_job else _nodes()), w.refused(request, about),
                      *(_job_goes_on() if of_job else _unchanged())],
            "then": [{"no-event": {"event": "BLOCK_JOB_CANCELLED"}}],
        }  # fmt: skip


def _nodes() -> list[Data]:
    raw = ("node", "there"), ("small", "tiny")
    return [
        *(w.send("blockdev-add", driver="raw", node_name=node,
                 file={"driver": "file", "filename": f"${file}"}) for node, file in raw),
        w.send("block-dirty-bitmap-add", node="d0", name="b"),
        w.guest("d0", "write -P 0x81 64k 64k"),
        w.send("block-dirty-bitmap-add", node="d0", name="c"),
    ]  # fmt: skip


def _unchanged() -> list[Data]:
    return [
        w.NO_JOBS,
        w.returns("query-block", _BITMAPS),
        {"observe": [{"image": "there", "unchanged": True}, {"image": "tiny", "unchanged": True}]},
        w.send("blockdev-backup", device="d0", target="node", sync="full"),
        w.ends("d0"),
    ]


def _job() -> list[Data]:
    start = w.drive_backup("d0", auto_finalize=False, auto_dismiss=False)
    return [start, w.expect("BLOCK_JOB_PENDING", id="d0")]


def _job_goes_on() -> list[Data]:
    return [
        w.returns("query-jobs", [{"id": "d0", "status": "pending"}]),
        w.send("job-finalize", id="d0"),
        w.expect("BLOCK_JOB_COMPLETED", device="d0", error=w.ABSENT),
        w.send("job-dismiss", id="d0"),
    ]


TABLES: Final = (
    Table("arguments/command", "each argument of each command has a type, limits and a check of "
          "its own", _rows, {
              "blockdev-backup-target-source-itself": "nothing but the check itself keeps a drive "
              "from being copied to itself",
              "blockdev-backup-job-id-*": "each command that makes jobs sees to their ids",
              "block-dirty-bitmap-add-name-*": "edges of a bitmap's name: of no letters, and taken",
              "block-dirty-bitmap-add-granularity-*": "edges of the granularity: a power of two "
              "from 512 to 2**31",
              "block-dirty-bitmap-merge-*-*unknown": "each of three names is looked up by itself",
              "block-dirty-bitmap-clear-*": "each command looks up its bitmap for itself",
          }),
)  # fmt: skip
