"""The judge on recorded dialogues of real QEMU: no false finding, and no corruption unseen."""

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleancut_conformance.cli import main
from cleancut_conformance.images import compress
from cleancut_conformance.judge import Judge
from cleancut_conformance.judge.oracle import Oracle, Write, expand, first_difference
from cleancut_spec.trace import Record, TraceError, parse_line, read

TRACES = sorted((Path(__file__).parent / "data" / "traces").glob("*/*.jsonl"))

#: Traces in which QEMU breaks a clause, with the clause.
DEFECTS = {"err_transaction_1": {"QMP-ALIVE-1"}}


def load(path: Path) -> list[Record]:
    with path.open() as file:
        return list(read(file))


def clauses_broken(records: list[Record]) -> set[str]:
    judge = Judge()
    findings = [finding for record in records for finding in judge.feed(record)]
    return {finding.clause for finding in findings + judge.close()}


@pytest.mark.parametrize("path", TRACES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_recorded_dialogues_break_only_what_is_known(path: Path) -> None:
    assert clauses_broken(load(path)) == DEFECTS.get(path.stem, set())


# ---- corruptions: each yields copies of a trace with one thing wrong


def event(record: Record, *names: str) -> bool:
    message = record.msg
    return record.dir == "recv" and isinstance(message, dict) and message.get("event") in names


def reply(record: Record) -> bool:
    message = record.msg
    return record.dir == "recv" and isinstance(message, dict) and "return" in message


def changed(records: list[Record], at: int, change: Callable[[Any], None]) -> list[Record]:
    message = copy.deepcopy(records[at].msg)
    change(message)
    return [*records[:at], Record("recv", records[at].t, message), *records[at + 1 :]]


FINALS = ("BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED")


def started(records: list[Record]) -> set[str]:
    return {r.msg["data"]["id"] for r in records
            if event(r, "JOB_STATUS_CHANGE") and r.msg["data"]["status"] == "running"}  # fmt: skip


def final_lost(records: list[Record]) -> Iterator[list[Record]]:
    for at, record in enumerate(records):
        if event(record, *FINALS):
            yield records[:at] + records[at + 1 :]


def final_doubled(records: list[Record]) -> Iterator[list[Record]]:
    for at, record in enumerate(records):
        if event(record, *FINALS):
            yield records[: at + 1] + records[at:]


def status_lost(records: list[Record]) -> Iterator[list[Record]]:
    """Every status but the pause of a start, which may be left out."""
    for at, record in enumerate(records):
        if event(record, "JOB_STATUS_CHANGE") and record.msg["data"]["status"] in (
            "created", "waiting", "pending", "concluded",
        ):  # fmt: skip
            yield records[:at] + records[at + 1 :]


def status_swapped(records: list[Record]) -> Iterator[list[Record]]:
    """Two neighbouring changes of one job change places."""
    for at in range(len(records) - 1):
        one, two = records[at], records[at + 1]
        same = event(one, "JOB_STATUS_CHANGE") and event(two, "JOB_STATUS_CHANGE")
        names = {r.msg["data"]["status"] for r in (one, two)} if same else set()
        one_job = same and one.msg["data"]["id"] == two.msg["data"]["id"]
        if one_job and names != {"running", "paused"}:
            yield [*records[:at], two, one, *records[at + 2 :]]


def status_forged(records: list[Record]) -> Iterator[list[Record]]:
    for at, record in enumerate(records):
        if event(record, "JOB_STATUS_CHANGE"):
            yield changed(records, at, lambda m: m["data"].update(status="standby"))


def offset_beyond_len(records: list[Record]) -> Iterator[list[Record]]:
    for at, record in enumerate(records):
        if event(record, *FINALS):
            yield changed(records, at, lambda m: m["data"].update(offset=m["data"]["len"] + 1))


def complete_before_the_end(records: list[Record]) -> Iterator[list[Record]]:
    for at, record in enumerate(records):
        if event(record, "BLOCK_JOB_COMPLETED") and "error" not in record.msg["data"]:
            yield changed(records, at, lambda m: m["data"].update(offset=m["data"]["offset"] // 2))


def error_hidden(records: list[Record]) -> Iterator[list[Record]]:
    for at, record in enumerate(records):
        if event(record, "BLOCK_JOB_COMPLETED") and "error" in record.msg["data"]:
            yield changed(records, at, lambda m: m["data"].pop("error"))


def error_invented(records: list[Record]) -> Iterator[list[Record]]:
    for at, record in enumerate(records):
        if event(record, "BLOCK_JOB_COMPLETED") and "error" not in record.msg["data"]:
            yield changed(records, at, lambda m: m["data"].update(error="Input/output error"))


def cancelled_for_completed(records: list[Record]) -> Iterator[list[Record]]:
    for at, record in enumerate(records):
        if event(record, "BLOCK_JOB_COMPLETED") and "error" not in record.msg["data"]:
            yield changed(records, at, lambda m: m.update(event="BLOCK_JOB_CANCELLED"))


def stranger(records: list[Record]) -> Iterator[list[Record]]:
    for at, record in enumerate(records):
        if event(record, *FINALS):
            yield changed(records, at, lambda m: m["data"].update(device="stranger"))


def timestamp_lost(records: list[Record]) -> Iterator[list[Record]]:
    for at, record in enumerate(records):
        if event(record, *FINALS, "JOB_STATUS_CHANGE", "SHUTDOWN"):
            yield changed(records, at, lambda m: m.pop("timestamp"))


def reply_doubled(records: list[Record]) -> Iterator[list[Record]]:
    waiting = 0
    for at, record in enumerate(records):
        waiting += (record.dir == "send") - reply(record)
        if reply(record) and waiting == 0:
            yield records[: at + 1] + records[at:]


def id_invented(records: list[Record]) -> Iterator[list[Record]]:
    for at, record in enumerate(records):
        if reply(record) and "id" not in record.msg:
            yield changed(records, at, lambda m: m.update(id=1))


def job_missing_from_list(records: list[Record]) -> Iterator[list[Record]]:
    for at, record in enumerate(records):
        listed = record.msg.get("return") if reply(record) else None
        if isinstance(listed, list) and listed and "current-progress" in listed[0]:
            yield changed(records, at, lambda m: m["return"].pop(0))


def ghost_in_list(records: list[Record]) -> Iterator[list[Record]]:
    asked = ""
    for at, record in enumerate(records):
        if record.dir == "send" and isinstance(record.msg, dict):
            asked = str(record.msg.get("execute"))
        if reply(record) and record.msg["return"] == [] and asked == "query-jobs":
            ghost = {"id": "ghost", "type": "backup", "status": "running",
                     "current-progress": 0, "total-progress": 1}  # fmt: skip
            yield changed(records, at, lambda m, g=ghost: m["return"].append(g))


def success_for_failure(records: list[Record]) -> Iterator[list[Record]]:
    """A command that created a job and took it back is said to have succeeded."""
    asked = ""
    for at, record in enumerate(records):
        message = record.msg if isinstance(record.msg, dict) else {}
        asked = str(message.get("execute")) if record.dir == "send" else asked
        starts = asked in ("transaction", "drive-backup", "blockdev-backup")
        before = records[at - 1]
        taken_back = event(before, "JOB_STATUS_CHANGE") and before.msg["data"]["status"] == "null"
        if record.dir == "recv" and "error" in message and starts and taken_back:
            yield changed(records, at, lambda m: (m.pop("error"), m.update({"return": {}})))


def no_shutdown(records: list[Record]) -> Iterator[list[Record]]:
    for at, record in enumerate(records):
        if event(record, "SHUTDOWN"):
            yield records[:at] + records[at + 1 :]


def crash(records: list[Record]) -> Iterator[list[Record]]:
    if records[-1].dir == "meta" and records[-1].note.get("exit") == 0:
        note = {**records[-1].note, "exit": -6}
        yield [*records[:-1], Record("meta", records[-1].t, note=note)]


CORRUPTIONS = [
    final_lost, final_doubled, status_lost, status_swapped, status_forged, offset_beyond_len,
    complete_before_the_end, error_hidden, error_invented, cancelled_for_completed, stranger,
    timestamp_lost, reply_doubled, id_invented, job_missing_from_list, ghost_in_list,
    success_for_failure, no_shutdown, crash,
]  # fmt: skip


@pytest.mark.parametrize("corrupt", CORRUPTIONS, ids=lambda c: c.__name__)
def test_corruptions_are_seen(corrupt: Callable[[list[Record]], Iterator[list[Record]]]) -> None:
    chance = random.Random(7)
    seen = places = 0
    for path in TRACES:
        if path.stem in DEFECTS or (path.stem == "more_qsd" and corrupt is no_shutdown):
            continue
        copies = list(corrupt(load(path)))
        for records in chance.sample(copies, min(len(copies), 12)):
            places += 1
            seen += bool(clauses_broken(records))
    assert places > 0, "the recorded traces have no place for this"
    assert seen == places, f"{seen} of {places}"


# ---- data


def dialogue(target_byte: int, at: int = 3 << 20) -> list[Record]:
    """One backup with a guest write before and after it, and what its target holds at the end."""

    def write(byte: int) -> dict[str, Any]:
        line = f'qemu-io d0 "write -P {byte} 3M 64k"'
        return {"execute": "human-monitor-command", "arguments": {"command-line": line}}

    def status(name: str) -> dict[str, Any]:
        return ev("JOB_STATUS_CHANGE", {"status": name, "id": "d0"})

    def ev(name: str, data: dict[str, Any]) -> dict[str, Any]:
        return {"event": name, "data": data, "timestamp": {"seconds": 1, "microseconds": 2}}

    size = 4 << 20
    drives = {"d0": {"file": "/i/d0.img", "size_bytes": size, "extents": [[0, size, 9]]}}
    backup = {"device": "d0", "target": "/i/t", "sync": "full"}
    done = {"device": "d0", "len": size, "offset": size, "speed": 0, "type": "backup"}
    version = {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""}
    extents = [[0, 3 << 20, 9], [3 << 20, 65536, 1], [(3 << 20) + 65536, 983040, 9]]
    content = bytearray(expand(size, extents))
    content[at] = target_byte
    send = [("send", m) for m in (write(1), {"execute": "drive-backup", "arguments": backup})]
    messages: list[tuple[str, Any]] = [
        ("meta", {"drives": drives}),
        ("recv", {"QMP": {"version": version, "capabilities": []}}),
        ("send", {"execute": "qmp_capabilities"}), ("recv", {"return": {}}),
        send[0], ("recv", {"return": ""}),
        ("io", {"guest": "d0", "cmd": "write -P 1 3M 64k", "result": "ok"}),
        send[1], ("recv", status("created")), ("recv", status("running")), ("recv", {"return": {}}),
        ("send", write(2)), ("recv", {"return": ""}),
        ("io", {"guest": "d0", "cmd": "write -P 2 3M 64k", "result": "ok"}),
        ("recv", status("waiting")), ("recv", status("pending")),
        ("recv", ev("BLOCK_JOB_COMPLETED", done)), ("recv", status("concluded")),
        ("recv", status("null")),
        ("observe", {"image": "/i/t", "size_bytes": size, "extents": compress(bytes(content))}),
        ("meta", {"exit": 0}),
    ]  # fmt: skip
    return [
        Record(d, 0.0, note=m) if d in ("meta", "io", "observe") else Record(d, 0.0, m)  # type: ignore[arg-type]
        for d, m in messages
    ]


def test_a_flipped_byte_of_a_target_is_seen_and_the_write_that_leaked_is_named() -> None:
    assert clauses_broken(dialogue(1)) == set()
    judge = Judge()
    findings = [finding for record in dialogue(2) for finding in judge.feed(record)]
    assert [finding.clause for finding in findings] == ["PIT-AFTER-1"]
    assert (
        "holds 0x02 at 3 MiB, not 0x01, which record 11 wrote after the cut" in findings[0].message
    )
    assert clauses_broken(dialogue(9)) == {"PIT-BEFORE-1"}
    assert clauses_broken(dialogue(77)) == {"PIT-BEFORE-1"}
    assert clauses_broken(dialogue(77, at=5)) == {"PIT-ONE-1"}


@given(st.lists(st.tuples(st.integers(0, 700), st.integers(1, 200), st.integers(0, 255))))
def test_an_image_is_its_extents(writes: list[tuple[int, int, int]]) -> None:
    content = bytearray(900)
    for offset, length, byte in writes:
        content[offset : offset + length] = bytes([byte]) * length
    extents = compress(bytes(content))
    assert expand(900, extents) == content
    assert all(length > 0 and byte > 0 for _, length, byte in extents)


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_the_first_difference(a: bytes, b: bytes) -> None:
    at = first_difference(a, b)
    if at is None:
        assert a == b
    else:
        assert a[:at] == b[:at] and a[at : at + 1] != b[at : at + 1]


# ---- the command


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("{", "line 1: not JSON"),
        ("[]", "line 1: no object with a known 'dir'"),
        ('{"dir": "recv", "t": "x", "msg": {}}', "line 1: 't' is no number"),
        ('{"dir": "recv", "t": 1}', "line 1: neither 'msg' nor 'raw'"),
        ('{"dir": "meta", "t": 1}', "line 1: 'note' is no object"),
        ("[" * 100_000, "line 1: not JSON"),
    ],
)
def test_a_bad_line_is_named(line: str, error: str) -> None:
    with pytest.raises(TraceError, match=error):
        parse_line(line, 1)


@given(st.lists(st.sampled_from(["meta", "send", "recv", "io", "observe", "mark"]), max_size=6),
       st.data())  # fmt: skip
def test_the_judge_survives_any_record(dirs: list[Any], data: st.DataObject) -> None:
    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["event", "data", "return", "error", "id", "QMP", "execute", "device",
                             "arguments", "actions", "status", "image", "size_bytes", "extents"]),
            inner, max_size=4,
        ),
        max_leaves=8,
    )  # fmt: skip
    judge = Judge()
    for direction in dirs:
        value = data.draw(json_values)
        note = value if isinstance(value, dict) else {}
        try:
            judge.feed(Record(direction, 0.0, value, None, note))
        except TraceError:
            assert direction not in ("recv", "send"), "what a server sends is judged, not refused"
    judge.close()


def test_the_command_tells_ok_broken_cut_off_and_unreadable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = next(path for path in TRACES if path.stem == "ev_tx2_success")
    lines = good.read_text().splitlines(keepends=True)
    cut_off, broken, rubbish = (tmp_path / name for name in ("cut", "broken", "rubbish"))
    cut_off.write_text("".join(lines[:-1]))
    broken.write_text("".join(line for line in lines if "BLOCK_JOB_COMPLETED" not in line))
    rubbish.write_text("no trace")
    assert main(["judge", str(good)]) == 0
    assert main(["judge", str(cut_off)]) == 3
    assert main(["judge", str(cut_off), str(broken)]) == 1
    capsys.readouterr()
    assert main(["judge", str(rubbish)]) == 2
    assert "rubbish: line 1: not JSON" in capsys.readouterr().err
    assert main(["judge", str(tmp_path / "none")]) == 2
    assert "No such file" in capsys.readouterr().err
    assert main(["judge", "--json", str(broken)]) == 1
    found = json.loads(capsys.readouterr().out)
    assert {finding["clause"] for finding in found} == {"EV-FINAL-1"}


@pytest.mark.parametrize(
    ("first_waits", "first_ended", "seen", "possible"),
    [
        (False, 9, 0xA1, True),  # both were in flight
        (False, 9, 0xA2, True),
        (False, 9, 0xA3, False),  # nobody wrote it
        (False, 2, 0xA1, False),  # it had ended before the other was sent
        (True, 9, 0xA1, False),  # the monitor sent the other only when it had ended
    ],
)
def test_of_two_writes_in_flight_either_may_be_last(
    first_waits: bool, first_ended: int, seen: int, possible: bool
) -> None:
    oracle = Oracle({"d0": bytes(1024)})
    for index, byte, waits, ended in ((1, 0xA1, first_waits, first_ended), (3, 0xA2, True, 10)):
        oracle.log.append(Write(index, "d0", 0, 1024, byte, waits, "ok", ended))
    content = bytes([seen]) * 1024
    assert (oracle.in_any_order("d0", 2, content) == content) == possible
