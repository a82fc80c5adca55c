"""Each kind of action of a transaction, alone and with each other kind, undone and done."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from cleancut_conformance.tables import words as w
from cleancut_conformance.tables.words import Data, Table


@dataclass(frozen=True, slots=True)
class Act:
    """An action on a drive: what it needs, and how one sees that it was done, or was not."""

    action: Data
    setup: list[Data] = field(default_factory=list)
    done: list[Data] = field(default_factory=list)
    undone: list[Data] = field(default_factory=list)
    then: list[Data] = field(default_factory=list)  # once all is over
    job: str = ""


def _bitmaps(drive: str, value: Data) -> Data:
    found = {"device": drive, "inserted": {"dirty-bitmaps": value}}
    return w.returns("query-block", {"$has": found})


def _bitmap(drive: str, **shown: Any) -> Data:
    return _bitmaps(drive, {"$has": shown})


def _add_bitmap(drive: str, name: str, **more: Any) -> Data:
    return w.send("block-dirty-bitmap-add", node=drive, name=name, **more)


def _drive_backup(d: str) -> Act:
    return Act(
        w.action("drive-backup", **w.backup(d)),
        undone=[w.NO_JOBS],
        then=[w.equals(f"{d}.target", f"{d}@cut", "PIT-ONE-1")],
        job=d,
    )


def _blockdev_backup(d: str) -> Act:
    node, job = f"{d}-node", f"{d}-job"
    return Act(
        w.action("blockdev-backup", device=d, target=node, sync="full", job_id=job),
        [_open_raw(f"{d}.there", node)],
        undone=[w.NO_JOBS],
        then=[w.equals(f"{d}.there", f"{d}@bound", "PIT-ONE-1")],
        job=job,
    )


def _open_raw(file: str, node: str) -> Data:
    return w.send("blockdev-add", driver="raw", node_name=node,
                  file={"driver": "file", "filename": f"${file}"})  # fmt: skip


def _add(d: str) -> Act:
    return Act(
        w.action("block-dirty-bitmap-add", node=d, name="new"),
        [_add_bitmap(d, "old")],
        done=[_bitmap(d, name="new", count=65536, recording=True)],
        undone=[_bitmaps(d, {"$lacks": {"name": "new"}})],
    )


def _clear(d: str) -> Act:
    return Act(
        w.action("block-dirty-bitmap-clear", node=d, name="c"),
        [_add_bitmap(d, "c"), w.guest(d, "write -P 0x51 64k 64k")],
        done=[_bitmap(d, name="c", count=65536)],
        undone=[_bitmap(d, name="c", count={"$ge": 65536})],
    )


def _enable(d: str) -> Act:
    return Act(
        w.action("block-dirty-bitmap-enable", node=d, name="e"),
        [_add_bitmap(d, "e", disabled=True)],
        done=[_bitmap(d, name="e", recording=True)],
        undone=[_bitmap(d, name="e", recording=False)],
    )


def _disable(d: str) -> Act:
    return Act(
        w.action("block-dirty-bitmap-disable", node=d, name="x"),
        [_add_bitmap(d, "x")],
        done=[_bitmap(d, name="x", recording=False)],
        undone=[_bitmap(d, name="x", recording=True)],
    )


def _merge(d: str) -> Act:
    return Act(
        w.action("block-dirty-bitmap-merge", node=d, target="m", bitmaps=["s"]),
        [_add_bitmap(d, "s"), w.guest(d, "write -P 0x52 128k 64k"),
         w.send("block-dirty-bitmap-disable", node=d, name="s"),
         _add_bitmap(d, "m", disabled=True)],
        done=[_bitmap(d, name="m", count=65536)],
        undone=[_bitmap(d, name="m", count=0)],
    )  # fmt: skip


def _remove(d: str) -> Act:
    return Act(
        w.action("block-dirty-bitmap-remove", node=d, name="r"),
        [_add_bitmap(d, "r"), _add_bitmap(d, "stays")],
        done=[_bitmaps(d, {"$lacks": {"name": "r"}})],
        undone=[_bitmap(d, name="r", recording=True)],
    )


def _depth(drive: str, depth: int) -> Data:
    found = {"device": drive, "inserted": {"backing_file_depth": depth}}
    return w.returns("query-block", {"$has": found})


def _snapshot_sync(d: str) -> Act:
    return Act(
        w.action("blockdev-snapshot-sync", device=d, snapshot_file=f"${d}.overlay"),
        done=[_depth(d, 1)],
        undone=[_depth(d, 0)],
        then=[w.equals(d, f"{d}@bound", "SNAPSHOT-TX-1")],
    )


def _qcow2(d: str, name: str, **more: Any) -> list[Data]:
    """A qcow2 image of the drive's size, made by a backup, and its node of that name."""
    file = {"driver": "file", "filename": f"${name}.qcow2"}
    return [
        w.drive_backup(d, f"${name}.qcow2", format="qcow2", job_id=f"make-{name}"),
        w.ends(f"make-{name}"),
        w.send("blockdev-add", driver="qcow2", node_name=name, file=file, **more),
    ]


def _snapshot(d: str) -> Act:
    return Act(
        w.action("blockdev-snapshot", node=d, overlay=f"{d}-above"),
        _qcow2(d, f"{d}-above", backing=None),
        done=[_depth(d, 1)],
        undone=[_depth(d, 0)],
        then=[w.equals(d, f"{d}@bound", "SNAPSHOT-TX-1")],
    )


def _internal(d: str) -> Act:
    node = f"{d}-inner"
    there = {"node-name": node, "image": {"snapshots": {"$has": {"name": "s0"}}}}
    gone = {"node-name": node, "image": {"snapshots": w.ABSENT}}
    return Act(
        w.action("blockdev-snapshot-internal-sync", device=node, name="s0"),
        _qcow2(d, node),
        done=[w.returns("query-named-block-nodes", {"$has": there})],
        undone=[w.returns("query-named-block-nodes", {"$has": gone})],
    )


KINDS: Final[dict[str, Callable[[str], Act]]] = {
    "drive-backup": _drive_backup,
    "blockdev-backup": _blockdev_backup,
    "bitmap-add": _add,
    "bitmap-clear": _clear,
    "bitmap-enable": _enable,
    "bitmap-disable": _disable,
    "bitmap-merge": _merge,
    "bitmap-remove": _remove,
    "snapshot-sync": _snapshot_sync,
    "snapshot": _snapshot,
    "internal-snapshot": _internal,
}

_ABOVE: Final = {"snapshot-sync", "snapshot"}
_ABORT: Final = w.action("abort")
_CLAUSES: Final = {
    "drive-backup": "TX-ATOMIC-1",
    "blockdev-backup": "TX-ATOMIC-1",
    "snapshot-sync": "SNAPSHOT-TX-1",
    "snapshot": "SNAPSHOT-TX-1",
    "internal-snapshot": "TX-ABORT-1",
}


def _clauses(*kinds: str) -> list[str]:
    return sorted({_CLAUSES.get(kind, "BITMAP-TX-1") for kind in kinds} | {"TX-ABORT-1"})


def _given(*acts: Act) -> Data:
    used = "".join(str(act) for act in acts)
    files = {f"{d}.there": {"size": "512k"} for d in ("d0", "d1") if f"{d}.there" in used}
    return {"drives": {"d0": "512k", "d1": "512k"}, "files": files}


def _both_ways(acts: list[Act]) -> list[Data]:
    """The actions fail together, and then succeed together."""
    actions = [act.action for act in acts]
    return [
        *(step for act in acts for step in act.setup),
        w.refused(w.transaction(*actions, _ABORT), "bort"),
        *(step for act in acts for step in act.undone),
        *_done(acts),
    ]


def _done(acts: list[Act]) -> list[Data]:
    """The actions succeed together, between two writes to each drive."""
    jobs = [act.job for act in acts if act.job]
    return [
        w.guest("d0", "write -P 0x61 256k 64k"),
        w.guest("d1", "write -P 0x62 256k 64k"),
        {"mark": "bound"},
        {"pipeline": [
            w.transaction(*(act.action for act in acts)),
            w.guest("d0", "write -P 0x71 384k 64k"),
            w.guest("d1", "write -P 0x72 384k 64k"),
        ]},
        *([w.ends(*jobs)] if jobs else []),
        *(step for act in acts for step in act.done),
    ]  # fmt: skip


def _alone_rows() -> Iterator[Data]:
    for kind, make in KINDS.items():
        act = make("d0")
        yield {
            "id": kind,
            "title": f"{kind} alone in a transaction: undone, and done",
            "clauses": _clauses(kind),
            "needs": ["files", "guest-io"],
            "given": _given(act),
            "steps": _both_ways([act]),
            "then": [{"image": "d0"}, {"image": "d1"}, *act.then],
        }


def _together(first: str, second: str) -> bool:
    """Whether both can act on one drive: its name then means a node that the first has put there.

    So neither is a snapshot, the first is no backup, and one bitmap is not made twice.
    """
    kinds = {first, second}
    return len(kinds) == 2 and not first.endswith("backup") and not kinds & _ABOVE


def _pair_rows() -> Iterator[Data]:
    for first, make_first in KINDS.items():
        for second, make_second in KINDS.items():
            other = "d0" if _together(first, second) else "d1"
            acts = [make_first("d0"), make_second(other)]
            yield {
                "id": f"{first}-then-{second}",
                "title": f"{first} and {second} in one transaction: undone, and done",
                "clauses": _clauses(first, second),
                "needs": ["files", "guest-io"],
                "given": _given(*acts),
                "steps": _both_ways(acts),
                "then": [{"image": "d0"}, {"image": "d1"}, *acts[0].then, *acts[1].then],
            }


def _after_abort_rows() -> Iterator[Data]:
    for kind, make in KINDS.items():
        act = make("d0")
        yield {
            "id": kind,
            "title": f"{kind} after an abort is not begun",
            "clauses": ["TX-ABORT-1", "TX-FAIL-1"],
            "needs": ["files", "guest-io"],
            "given": _given(act),
            "steps": [
                *act.setup,
                w.refused(w.transaction(_ABORT, act.action), "bort"),
                *act.undone,
                {"observe": [{"image": name, "absent": True, "clause": "TX-FAIL-1"}
                             for name in ("d0.target", "d0.overlay")]},
                *_done([act]),
            ],
            "then": [{"image": "d0"}, *act.then],
        }  # fmt: skip


TABLES: Final = (
    Table("transaction/alone", "each kind of action has a commit and a roll-back of its own",
          _alone_rows),
    Table("transaction/pair", "roll-back and commit of one kind may undo what another has done, "
          "in either order", _pair_rows),
    Table("transaction/after-abort", "each kind of action has a preparation of its own, which must "
          "not begin", _after_abort_rows),
)  # fmt: skip
