"""The judge on what a version does otherwise, and on replies that come out of band."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleancut_conformance.judge import Judge
from cleancut_spec.trace import Record

STAMP = {"seconds": 1, "microseconds": 2}


def broken(version: tuple[int, int], *messages: Any, negotiate: bool = True) -> list[str]:
    """The clauses that a dialogue breaks: requests have `execute` or `exec-oob`."""
    qemu = {"major": version[0], "minor": version[1], "micro": 0}
    greeting = {"QMP": {"version": {"qemu": qemu, "package": ""}, "capabilities": []}}
    start = [greeting, {"execute": "qmp_capabilities"}, {"return": {}}] if negotiate else [greeting]
    records = [Record("meta", 0.0, note={"drives": {"d0": None, "d1": None}})]
    for message in (*start, *messages):
        sent = "execute" in message or "exec-oob" in message
        records.append(Record("send" if sent else "recv", 0.0, message))
    records.append(Record("meta", 0.0, note={"exit": 0}))
    judge = Judge()
    findings = [finding for record in records for finding in judge.feed(record)]
    return [finding.clause for finding in findings + judge.close()]


# ---- 2013: no event tells of a status, jobs start while their action is prepared


def final(name: str, device: str, offset: int = 4096, **more: Any) -> dict[str, Any]:
    data = {"type": "backup", "device": device, "len": 4096, "offset": offset, "speed": 0, **more}
    return {"event": f"BLOCK_JOB_{name}", "data": data, "timestamp": STAMP}


def transaction(*devices: str) -> dict[str, Any]:
    actions = [
        {"type": "drive-backup", "data": {"device": device, "target": f"/t/{device}"}}
        for device in devices
    ]
    return {"execute": "transaction", "arguments": {"actions": actions}}


OK: dict[str, Any] = {"return": {}}
NO = {"error": {"class": "GenericError", "desc": "no"}}
LIST = {"execute": "query-block-jobs"}


def listed(*devices: str) -> dict[str, Any]:
    jobs = [{"type": "backup", "device": d, "len": 4096, "offset": 0, "busy": True, "paused": False,
             "speed": 0} for d in devices]  # fmt: skip
    return {"return": jobs}


@pytest.mark.parametrize(
    ("messages", "clauses"),
    [
        ([transaction("d0", "d1"), OK, final("COMPLETED", "d0"), final("COMPLETED", "d1")], []),
        ([transaction("d0", "d1"), final("COMPLETED", "d0"), OK, final("COMPLETED", "d1")], []),
        ([transaction("d0"), OK, LIST, listed("d0"), final("CANCELLED", "d0", 0)], []),
        ([transaction("d0", "d1"), NO, final("CANCELLED", "d0", 0)], []),
        ([transaction("d0"), OK, *[final("COMPLETED", "d0")] * 2], ["EV-LAST-1"]),
        ([final("COMPLETED", "d0")], ["EV-FINAL-1"]),
        ([transaction("d0"), OK, LIST, listed()], ["JOB-LIST-1"]),
        ([LIST, listed("d0")], ["JOB-LIST-1"]),
        ([transaction("d0"), OK, final("COMPLETED", "d0"), LIST, listed("d0")], ["JOB-LIST-1"]),
        ([transaction("d0"), OK, final("COMPLETED", "d0", 0)], ["JOB-PROGRESS-1"]),
        ([transaction("d0", "d1"), NO, final("COMPLETED", "d0")], ["TX-ATOMIC-1"]),
        ([transaction("d0"), OK, transaction("d0"), OK], ["ARG-BUSY-1"]),
        ([transaction("d0"), OK, transaction("d0"), NO, final("COMPLETED", "d0")], []),
        ([transaction("d0"), OK, final("COMPLETED", "d0"), transaction("d0"), OK], []),
    ],
)  # fmt: skip
def test_a_dialogue_of_2013(messages: list[Any], clauses: list[str]) -> None:
    assert broken((1, 5), *messages) == clauses


def test_today_the_same_dialogue_lacks_its_events() -> None:
    messages = [transaction("d0"), OK, final("COMPLETED", "d0")]
    assert broken((1, 5), *messages) == []
    assert broken((7, 2), *messages) == ["TX-ATOMIC-1", "EV-FINAL-1"]


# ---- out of band


def requests(plan: list[tuple[bool, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "exec-oob" if oob else "execute": "query-name",
            **({} if number is None else {"id": number}),
        }
        for oob, number in plan
    ]


PLANS = st.lists(st.tuples(st.booleans(), st.none()), min_size=1, max_size=6).map(
    lambda plan: [(oob, number) for number, (oob, _) in enumerate(plan)]
)


@given(PLANS, st.randoms(use_true_random=False))
def test_replies_out_of_band_come_in_any_order_the_others_in_theirs(
    plan: list[tuple[bool, Any]], chance: Any
) -> None:
    order = list(plan)
    chance.shuffle(order)
    replies = [{"return": {}, "id": number} for _, number in order]
    in_band = [number for oob, number in order if not oob]
    found = broken((7, 2), *requests(plan), *replies)
    assert (not found) == (in_band == sorted(in_band))


@given(PLANS, st.data())
def test_a_reply_out_of_band_is_missed_and_not_given_twice(
    plan: list[tuple[bool, Any]], data: st.DataObject
) -> None:
    replies = [{"return": {}, "id": number} for _, number in plan]
    at = data.draw(st.integers(0, len(plan) - 1))
    why = {"guest": False, "reason": "host-qmp-quit"}
    shutdown = {"event": "SHUTDOWN", "data": why, "timestamp": STAMP}
    quit_ = [{"execute": "quit", "id": "q"}, {"return": {}, "id": "q"}, shutdown]
    assert broken((7, 2), *requests(plan), *replies, *quit_) == []
    assert broken((7, 2), *requests(plan), *replies[:at], *replies[at + 1 :], *quit_)
    assert broken((7, 2), *requests(plan), *replies, replies[at], *quit_)


@pytest.mark.parametrize("refusal_first", [True, False])
def test_without_ids_a_refusal_of_oob_answers_what_was_sent_so(refusal_first: bool) -> None:
    refusal = {"error": {"class": "GenericError", "desc": "The command x does not support OOB"}}
    replies = [refusal, OK] if refusal_first else [OK, refusal]
    for plan in itertools.permutations([(True, None), (False, None)]):
        assert broken((7, 2), *requests(list(plan)), *replies) == []


@pytest.mark.parametrize(
    ("asked", "answered", "same"),
    [(1, 1, True), (1, True, False), (1, 1.0, False), ([1], [True], False), ("1", 1, False),
     ({"a": 1, "b": [2]}, {"b": [2], "a": 1}, True), (None, None, True)],
)  # fmt: skip
def test_an_id_is_a_json_value(asked: Any, answered: Any, same: bool) -> None:
    messages = [{"execute": "query-name", "id": asked}, {"return": {}, "id": answered}]
    assert broken((7, 2), *messages) == ([] if same else ["QMP-ID-1"])


# ---- 11: a backup may be given up for a guest's write


@pytest.mark.parametrize(("policy", "clauses"), [("break-snapshot", []), (None, ["CBW-ONCE-1"])])
def test_a_backup_that_was_given_up_promises_nothing(
    policy: str | None, clauses: list[str]
) -> None:
    """After the error the guest's new data is in the target."""
    size = 131072
    more = {} if policy is None else {"on-cbw-error": policy}
    backup = {"device": "d0", "target": "/t", "sync": "full", **more}
    note = {"drives": {"d0": {"file": "/d0", "size_bytes": size, "extents": [[0, size, 1]]}}}
    error = {"device": "d0", "operation": "write", "action": "report"}
    qemu = {"major": 11, "minor": 1, "micro": 0}
    greeting = {"QMP": {"version": {"qemu": qemu, "package": ""}, "capabilities": []}}
    seen = {"image": "/t", "size_bytes": size, "extents": [[0, 65536, 2]]}
    line = {"command-line": 'qemu-io d0 "write -P 2 0 64k"'}

    def event(name: str, data: dict[str, Any]) -> Record:
        return Record("recv", 0.0, {"event": name, "data": data, "timestamp": STAMP})

    records = [
        Record("meta", 0.0, note=note),
        Record("recv", 0.0, greeting),
        Record("send", 0.0, {"execute": "qmp_capabilities"}), Record("recv", 0.0, OK),
        Record("send", 0.0, {"execute": "drive-backup", "arguments": backup}),
        event("JOB_STATUS_CHANGE", {"status": "created", "id": "d0"}),
        event("JOB_STATUS_CHANGE", {"status": "running", "id": "d0"}),
        Record("recv", 0.0, OK),
        event("BLOCK_JOB_ERROR", error),
        Record("send", 0.0, {"execute": "human-monitor-command", "arguments": line}),
        Record("recv", 0.0, {"return": ""}),
        Record("io", 0.0, note={"guest": "d0", "cmd": "write -P 2 0 64k", "result": "ok"}),
        Record("observe", 0.0, note=seen),
    ]  # fmt: skip
    judge = Judge()
    found = [finding.clause for record in records for finding in judge.feed(record)]
    assert found == clauses
