"""The judge on recorded dialogues of real QEMU: no false finding, and no corruption unseen."""

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleancut_conformance.cli import main
from cleancut_conformance.images import compress, expand
from cleancut_conformance.judge import Judge
from cleancut_conformance.judge.image import Image
from cleancut_conformance.judge.oracle import Oracle, Write
from cleancut_spec.trace import Record, TraceError, parse_line, read
from tests.corruptions import KINDS, Trace, places
from tests.corruptions import load as load_recorded

DATA = Path(__file__).parent / "data"
FOLDERS = [DATA / name for name in ("traces", "judged", "dialogues")]
TRACES = sorted(path for folder in FOLDERS for path in folder.glob("*/*.jsonl"))

#: Traces in which QEMU breaks a clause, with the clause.
DEFECTS = {
    "bitmaps_taken-back": {"BITMAP-KEEP-1"},
    "err_transaction": {"QMP-ALIVE-1"},
    "err_transaction_1": {"QMP-ALIVE-1"},
    "transaction_keeps-existing-targets": {"TX-KEEP-1"},
    "transaction_removes-new-targets": {"TX-CLEAN-1"},
}


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


# ---- corruptions


@pytest.fixture(scope="module")
def recorded() -> list[Trace]:
    return load_recorded()


@pytest.mark.parametrize("name", KINDS)
def test_corruptions_are_seen(name: str, recorded: list[Trace]) -> None:
    """A sample; `python -m tests.corruptions` takes more of them, or all."""
    chance = random.Random(name)
    traces = chance.sample(recorded, len(recorded))
    found = places(KINDS[name], traces, 1, chance)
    few = [records for _, records in itertools.islice(found, 4)]
    assert few, "the recorded traces have no place for this"
    unseen = sum(not clauses_broken(records) for records in few)
    assert not unseen, f"{unseen} of {len(few)} are not seen"


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
    oracle = Oracle({"d0": Image(1024)})
    for index, byte, waits, ended in ((1, 0xA1, first_waits, first_ended), (3, 0xA2, True, 10)):
        oracle.log.append(Write(index, "d0", 0, 1024, byte, waits, "ok", ended))
    content = Image(1024, [[0, 1024, seen]])
    assert (oracle.in_any_order("d0", 2, content) == content) == possible
