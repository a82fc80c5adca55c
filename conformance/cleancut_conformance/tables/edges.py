"""Each argument at its edges: refused alone and in a transaction, or taken."""

from collections.abc import Iterator
from typing import Any, Final

from cleancut_conformance.tables import words as w
from cleancut_conformance.tables.words import Data, Table

_GONE: Final = object()  # the argument is left out

#: Argument, name of the row, value, part of the description, clause.
WRONG: Final[tuple[tuple[str, str, Any, str, str], ...]] = (
    ("device", "missing", _GONE, "device'", "ARG-TYPE-1"),
    ("device", "number", 1, "device'", "ARG-TYPE-1"),
    ("device", "null", None, "device'", "ARG-TYPE-1"),
    ("device", "list", ["d0"], "device'", "ARG-TYPE-1"),
    ("device", "empty", "", "", "ARG-DEVICE-1"),
    ("device", "unknown", "nobody", "nobody", "ARG-DEVICE-1"),
    ("target", "missing", _GONE, "target'", "ARG-TYPE-1"),
    ("target", "number", 7, "target'", "ARG-TYPE-1"),
    ("target", "object", {"driver": "raw"}, "target'", "ARG-TYPE-1"),
    ("target", "directory", "$.", "", "ARG-TARGET-1"),
    ("target", "no-directory", "$none/t", "none/t", "ARG-TARGET-1"),
    ("sync", "missing", _GONE, "sync'", "ARG-TYPE-1"),
    ("sync", "unknown", "bogus", "bogus", "ARG-TYPE-1"),
    ("sync", "upper-case", "FULL", "FULL", "ARG-TYPE-1"),
    ("sync", "number", 0, "sync'", "ARG-TYPE-1"),
    ("format", "unknown", "bogus", "bogus", "ARG-FORMAT-1"),
    ("format", "number", 2, "format'", "ARG-TYPE-1"),
    ("format", "filter", "throttle", "throttle", "ARG-FORMAT-1"),
    ("mode", "unknown", "bogus", "bogus", "ARG-TYPE-1"),
    ("mode", "boolean", True, "mode'", "ARG-TYPE-1"),
    ("mode", "existing-without-file", "existing", "t", "ARG-MODE-2"),
    ("speed", "negative", -1, "speed", "ARG-SPEED-1"),
    ("speed", "least", -(2**63), "speed", "ARG-SPEED-1"),
    ("speed", "too-big", 2**63, "speed", "ARG-SPEED-1"),
    ("speed", "far-too-big", 2**64, "speed", "ARG-SPEED-1"),
    ("speed", "text", "1", "speed", "ARG-SPEED-1"),
    ("speed", "fraction", 0.5, "speed", "ARG-SPEED-1"),
    ("speed", "whole-fraction", 1000.0, "speed", "ARG-SPEED-1"),
    ("speed", "boolean", True, "speed", "ARG-SPEED-1"),
    ("speed", "null", None, "speed", "ARG-SPEED-1"),
    ("on-source-error", "unknown", "never", "never", "ARG-TYPE-1"),
    ("on-source-error", "number", 1, "on-source-error'", "ARG-TYPE-1"),
    ("on-target-error", "unknown", "never", "never", "ARG-TYPE-1"),
    ("on-target-error", "null", None, "on-target-error'", "ARG-TYPE-1"),
    ("on-cbw-error", "unknown", "never", "never", "ARG-TYPE-1"),
    ("on-cbw-error", "number", 1, "on-cbw-error'", "ARG-TYPE-1"),
    ("auto-finalize", "number", 1, "auto-finalize'", "ARG-TYPE-1"),
    ("auto-dismiss", "text", "on", "auto-dismiss'", "ARG-TYPE-1"),
    ("bitmap", "number", 1, "bitmap'", "ARG-TYPE-1"),
    ("bitmap", "without-mode", "nothing", "itmap", "BITMAP-MODE-1"),
    ("bitmap-mode", "unknown", "bogus", "bogus", "ARG-TYPE-1"),
    ("bitmap-mode", "without-bitmap", "never", "itmap", "BITMAP-MODE-1"),
    ("compress", "number", 1, "compress'", "ARG-TYPE-1"),
    ("compress", "raw", True, "ompress", "ARG-FORMAT-1"),
    ("job-id", "number", 1, "job-id'", "ARG-TYPE-1"),
    ("job-id", "punctuation", "!x", "!x", "ARG-TYPE-1"),
    ("job-id", "digit-first", "1x", "1x", "ARG-TYPE-1"),
    ("job-id", "empty", "", "", "ARG-TYPE-1"),
    ("filter-node-name", "number", 1, "filter-node-name'", "ARG-TYPE-1"),
    ("filter-node-name", "digit-first", "1f", "", "ARG-TYPE-1"),
    ("unheard-of", "unknown", 1, "unheard-of", "ARG-TYPE-1"),
)

RIGHT: Final[tuple[tuple[str, str, Any, str], ...]] = (
    ("speed", "zero", 0, "ARG-SPEED-1"),
    ("speed", "greatest", 2**63 - 1, "ARG-SPEED-1"),
    ("speed", "odd", 2**40 + 1, "ARG-SPEED-1"),
    ("job-id", "all-characters", "aZ-.0_9", "JOB-ID-1"),
    ("job-id", "long", "j" * 120, "JOB-ID-1"),
    ("format", "raw", "raw", "ARG-FORMAT-1"),
    ("mode", "absolute-paths", "absolute-paths", "ARG-MODE-1"),
    ("compress", "false", False, "ARG-FORMAT-1"),
    ("auto-finalize", "true", True, "JOB-END-1"),
    ("auto-dismiss", "true", True, "JOB-END-1"),
    ("filter-node-name", "named", "above", "JOB-END-1"),
    ("device", "upper-case", "D0X", "JOB-ID-1"),
    ("target", "space-and-comma", "$a b,c", "ARG-MODE-1"),
    ("target", "hidden", "$.hidden", "ARG-MODE-1"),
)


def _with(argument: str, value: Any, device: str = "d0") -> Data:
    data = w.backup(device, "$t")
    if value is _GONE:
        del data[argument]
        return data
    return data | {argument: value}


def _wrong_rows() -> Iterator[Data]:
    for argument, name, value, about, clause in WRONG:
        data = _with(argument, value)
        alone = {"send": {"execute": "drive-backup", "arguments": data}}
        first = w.action("drive-backup", **w.backup("d1", "$other"))
        yield {
            "id": f"{argument}-{name}",
            "title": f"{argument}: {name.replace('-', ' ')} is refused, alone and as an action",
            "clauses": [clause, "TX-ATOMIC-1"],
            "needs": ["files", "guest-io"],
            "given": {"drives": {"d0": "256k", "d1": "256k"}},
            "steps": [
                w.refused(alone, about),
                w.NO_JOBS,
                w.refused(w.transaction(first, {"type": "drive-backup", "data": data}), about),
                w.NO_JOBS,
                {"pipeline": [w.guest("d0", "write -P 0x31 0 64k"),
                              w.guest("d1", "write -P 0x32 0 64k")]},
                w.transaction(w.action("drive-backup", **w.backup("d0", "$good")), first),
                w.ends("d0", "d1"),
            ],
            "then": [w.equals("good", "d0@cut", "TX-FAIL-4"),
                     w.equals("other", "d1@cut", "TX-FAIL-4"),
                     {"no-event": {"event": "BLOCK_JOB_CANCELLED"}}],
        }  # fmt: skip


def _right_rows() -> Iterator[Data]:
    for argument, name, value, clause in RIGHT:
        drive = value if argument == "device" else "d0"
        data = _with(argument, value, drive)
        job, target = data.get("job-id", drive), data["target"].removeprefix("$")
        yield {
            "id": f"{argument}-{name}",
            "title": f"{argument}: {name.replace('-', ' ')} is taken",
            "clauses": [clause, "PIT-ONE-1"],
            "needs": ["files"],
            "given": {"drives": {drive: "256k"}},
            "steps": [
                {"send": {"execute": "drive-backup", "arguments": data}},
                w.expect("BLOCK_JOB_COMPLETED", device=job, error=w.ABSENT),
                w.ends(job),
            ],
            "then": [w.equals(target, f"{drive}@cut")],
        }


#: The request, in pieces, and what its error names.
MALFORMED: Final[tuple[tuple[str, Any, str], ...]] = (
    ("no-arguments", None, "actions"),
    ("no-actions", {}, "actions"),
    ("actions-an-object", {"actions": {}}, "actions"),
    ("actions-null", {"actions": None}, "actions"),
    ("action-a-text", {"actions": ["abort"]}, "actions[0]'"),
    ("no-type", {"actions": [{"data": {}}]}, "actions[0].type"),
    ("no-data", {"actions": [{"type": "abort"}]}, "actions[0].data"),
    ("type-unknown", {"actions": [{"type": "bogus", "data": {}}]}, "bogus"),
    ("type-a-number", {"actions": [{"type": 1, "data": {}}]}, "actions[0].type'"),
    ("data-a-list", {"actions": [{"type": "abort", "data": []}]}, "data"),
    ("data-unknown-key", {"actions": [{"type": "abort", "data": {"a": 1}}]}, "data.a'"),
    ("action-unknown-key", {"actions": [{"type": "abort", "data": {}, "b": 1}]}, "actions[0].b'"),
    ("unknown-key", {"actions": [], "c": 1}, "'c'"),
    ("properties-a-list", {"actions": [], "properties": []}, "properties"),
    ("properties-unknown-key", {"actions": [], "properties": {"d": 1}}, "properties.d'"),
    ("mode-unknown", {"actions": [], "properties": {"completion-mode": "all"}}, "all"),
    ("mode-a-boolean", {"actions": [], "properties": {"completion-mode": True}},
     "properties.completion-mode'"),
)  # fmt: skip


def _malformed_rows() -> Iterator[Data]:
    for name, arguments, about in MALFORMED:
        message = {"execute": "transaction"}
        full: Data = {"send": message if arguments is None else {**message, "arguments": arguments}}
        yield {
            "id": name,
            "title": f"a malformed transaction is refused: {name.replace('-', ' ')}",
            "clauses": ["ARG-TYPE-1"],
            "steps": [w.refused(full, about), w.NO_JOBS],
        }


TABLES: Final = (
    Table("arguments/wrong", "each argument has a type, limits and a place in the order of checks "
          "of its own; QEMU's versions differ in what a refused one leaves behind", _wrong_rows, {
              "device-empty": "a name of no letters is looked up as any other",
              "bitmap-*without-*": "a bitmap and its mode are asked for together, either way round",
              "compress-raw": "what a format cannot do is asked of each format",
              "job-id-*": "edges of an id: a letter, then letters, digits, and -._ in any number",
          }),
    Table("arguments/right", "each value is the last one that is taken, beside one that is not",
          _right_rows),
    Table("arguments/malformed-transaction", "each is a hole in a check of the request's form",
          _malformed_rows),
)  # fmt: skip
